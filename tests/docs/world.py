"""A folder in which what the pages show can be typed: small files of those names, and what the reader writes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from documented import ROOT, files_in, pages

PAIR = "index\tsentence1\tsentence2"
STSB = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
MRPC = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
NOUNS = ("film", "book", "play", "song", "meal", "hotel", "game", "story", "beach", "train")
QUALITIES = ("good", "bad", "great", "dull")
LABELS = {"good": "pos", "great": "pos", "bad": "neg", "dull": "neg"}
SENTENCE = "Ann B-PER\nSmith I-PER\nsaw O\nnew O\nYork B-LOC\n{} O\n\n"


def texts() -> Iterator[tuple[str, str]]:
    """Forty texts with their labels."""
    for noun in NOUNS:
        for quality in QUALITIES:
            yield f"the {noun} was {quality}", LABELS[quality]


def own_files() -> dict[str, str]:
    """Data of the reader's, by the names that the pages give them."""
    table = "text,label\n" + "".join(f"{text},{label}\n" for text, label in texts())
    pairs = "".join(
        f'{{"question": "how was the {noun}", "answer": "{quality}", "score": {i % 6}}}\n'
        for i, noun in enumerate(NOUNS)
        for quality in QUALITIES
    )
    headless = "".join(f"{label}\t{text}\n" for text, label in texts())
    numbered = "id,source,text,label\n" + "".join(f"{i},x,{text},{label}\n" for i, (text, label) in enumerate(texts()))
    column = "".join(SENTENCE.format(noun) for noun in NOUNS * 4)
    lines = "".join(f"{label} {text}\n" for text, label in texts())
    return {
        "my.csv": table, "dev.csv": table, "mine.csv": table, "data/reviews/train.csv": table,
        "data/reviews/dev.csv": table, "bad.csv": "text,label\na,pos\nb,neg\nc,meh\n",
        "new.csv": "text\na film\nbooks\n", "new.txt": "a film\nbooks\n",
        "a.jsonl": pairs, "b.jsonl": pairs, "a.tsv": headless, "b.tsv": headless, "a.csv": numbered, "b.csv": numbered,
        "train.txt": column, "dev.txt": column, "FILE": column, "eng.testb": column.replace(" ", " X "),
        "texts/train.txt": lines, "texts/validation.txt": lines,
    }  # fmt: skip


def benchmark_files() -> dict[str, str]:
    """Of GLUE and CoNLL-2003, in the official layout; test splits have the numbers of rows that GLUE's server wants."""
    cola = "".join(f"x\t{label == 'pos':d}\t\t{text}\n" for text, label in texts())
    pairs = [(text, f"{text}, they said") for text, _ in texts()]
    rte = "".join(f"{i}\t{a}\t{b}\t{('', 'not_')[i % 2]}entailment\n" for i, (a, b) in enumerate(pairs))
    stsb = "".join(f"{i}\tg\tf\t2012\t1\tn\tn\t{a}\t{b}\t{i % 6}\n" for i, (a, b) in enumerate(pairs))
    mrpc = "".join(f"{i % 2}\t{i}\t{i}\t{a}\t{b}\n" for i, (a, b) in enumerate(pairs))
    sst2 = "".join(f"{text}\t{label == 'pos':d}\n" for text, label in texts())
    words = "-DOCSTART- -X- O O\n\n" + "".join(SENTENCE.format(noun).replace(" ", " X X ") for noun in NOUNS * 4)
    return {
        "glue/CoLA/train.tsv": cola, "glue/CoLA/dev.tsv": cola,
        **{f"glue/MRPC/{split}.tsv": f"{MRPC}\n{mrpc}" for split in ("train", "dev")},
        **{f"glue/SST-2/{split}.tsv": f"sentence\tlabel\n{sst2}" for split in ("train", "dev")},
        "glue/RTE/train.tsv": f"{PAIR}\tlabel\n{rte}", "glue/RTE/dev.tsv": f"{PAIR}\tlabel\n{rte}",
        "glue/RTE/test.tsv": f"{PAIR}\n" + "".join(f"{i}\ta\tb\n" for i in range(3000)),
        "glue/STS-B/train.tsv": f"{STSB}\tscore\n{stsb}", "glue/STS-B/dev.tsv": f"{STSB}\tscore\n{stsb}",
        "glue/STS-B/test.tsv": f"{STSB}\n" + "".join(f"{i}\tg\tf\t2012\t1\tn\tn\ta\tb\n" for i in range(1379)),
        **{f"conll2003/eng.{split}": words for split in ("train", "testa", "testb")},
    }  # fmt: skip


def furnish(place: Path) -> None:
    """Put everything there but finished runs: no checkout, whose `configs/` would not be the reader's own."""
    files = own_files() | {f"DIR/{name}": content for name, content in benchmark_files().items()}
    for page in pages():
        files |= files_in(page)
    shutil.copytree(ROOT / "experiments", place / "experiments", ignore=shutil.ignore_patterns("plots", ".*"))
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
