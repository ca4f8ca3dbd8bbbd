"""A word-piece vocabulary that needs no file: for encoders with random weights."""

import string

from transformers import BertTokenizer

from head2head.data import lexicon


def built_in_vocabulary() -> dict[str, int]:
    """Special tokens, every printable ASCII character (as a word and as a continuation), and the
    words of the diagnostic tasks; numbered in that order."""
    characters = [c for c in string.printable.lower() if not c.isspace()]
    templates = " ".join(t for group in lexicon.ENTITY_TEMPLATES for t in group).split()
    words = {
        lexicon.NEEDLE, *lexicon.FILLER, *lexicon.FRUITS, *lexicon.TOOLS, *lexicon.SINGULAR, *lexicon.PLURAL,
        *lexicon.SINGULAR_VERBS, *lexicon.PLURAL_VERBS, *lexicon.ADJECTIVES, *lexicon.PREPOSITIONS,
        *lexicon.FIRST_NAMES, *lexicon.LAST_NAMES, *" ".join(lexicon.COMPLEMENTS.values()).split(),
        *" ".join(lexicon.OPENINGS).split(), *(word for word in templates if word.isalpha()),
    }  # fmt: skip
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += sorted(set(characters)) + [f"##{c}" for c in sorted(set(characters))] + sorted(words - set(characters))
    return {piece: number for number, piece in enumerate(pieces)}


def built_in_tokenizer() -> BertTokenizer:
    """An uncased BERT tokenizer over the built-in vocabulary."""
    return BertTokenizer(vocab=built_in_vocabulary(), model_max_length=512)
