"""The diagnostics show what they were made to show, on trained embeddings, where only the pool mixes tokens."""

from composed import compose
from head2head.run.run import run


def score(tmp_path, task, head):
    settings = ["encoder=random-tiny", "head/layers=embeddings", "optimizer.lr=1e-2", "trainer.max_epochs=2"]
    data = ["task.rows.train=2000", "task.rows.validation=200"]
    place = [f"output_dir={tmp_path}", "save_model=false", "trainer.enable_progress_bar=false", "threads=1"]
    chosen = [f"task={task}", f"head={head}", "trainer.accelerator=cpu"]
    return run(compose([*settings, *data, *place, *chosen])).score


def test_one_word_in_a_long_text_survives_the_maximum_and_not_the_mean(tmp_path):
    assert score(tmp_path, "needle", "max") > 0.95
    assert score(tmp_path, "needle", "mean") < 0.65


def test_a_count_survives_the_mean_better_than_the_maximum(tmp_path):
    assert score(tmp_path, "majority", "mean") > score(tmp_path, "majority", "max") + 0.03


def test_agreement_is_out_of_reach_of_embeddings(tmp_path):
    assert abs(score(tmp_path, "agreement", "mean") - 0.5) < 0.1
