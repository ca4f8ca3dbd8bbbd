"""Under which terms data and encoders are given away, as far as their makers say so. Imports no torch."""

from __future__ import annotations

UNKNOWN = "not known to head2head; ask where you have it from"

# By the task's name, from the pages and papers of those who made the data.
DATA = {
    "cola": "sentences quoted from the linguistic literature; no licence is stated (Warstadt et al. 2019)",
    "sst2": "sentences of film reviews from rottentomatoes.com; no licence is stated (Socher et al. 2013)",
    "mrpc": "Microsoft Research Shared Source licence (MSR-SSLA), which allows no commercial use (Dolan and Brockett "
    "2005)",
    "qqp": "Quora's terms of service, which allow no commercial use",
    "stsb": "sentences of several sources, each under its own terms (Cer et al. 2017)",
    "mnli": "the terms of the Open American National Corpus for most of it; some fiction under CC BY 3.0 and CC BY-SA "
    "3.0 (Williams et al. 2018)",
    "qnli": "CC BY-SA 4.0, as SQuAD is (Rajpurkar et al. 2016)",
    "rte": "texts of the RTE challenges 1, 2, 3 and 5; no licence is stated",
    "wnli": "CC BY 4.0, as the Winograd schemas are (Levesque et al. 2012)",
    "conll2003": "Reuters' terms: research only, by an agreement with NIST (Tjong Kim Sang and De Meulder 2003)",
    **dict.fromkeys(("agreement", "needle", "majority", "entities"), "made by head2head from a seed: Apache-2.0"),
}
# By the beginning of the encoder's name on the hub.
ENCODERS = {
    "google-bert/": "apache-2.0",
    "google/bert_uncased_": "apache-2.0",
    "sentence-transformers/all-MiniLM-L6-v2": "apache-2.0",
}
# Tasks whose data may not be used commercially.
RESEARCH_ONLY = frozenset({"mrpc", "qqp", "conll2003"})


def of_data(task: str) -> str:
    """The terms of a task's data."""
    return DATA.get(task, UNKNOWN)


def of_encoder(name: str, random: bool) -> str | None:
    """The licence of an encoder, as the hub abbreviates it; None where it is not known.

    Args:
        random: it has random weights, made by head2head.
    """
    if random:
        return "apache-2.0"
    return next((licence for start, licence in ENCODERS.items() if name.startswith(start)), None)
