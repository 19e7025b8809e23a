"""Train the embedded model on procedural images: `python -m training.train --out DIR`.

Coarse rasters first, then full ones; the learning rate falls over the whole run. A run that stops goes on from its
last checkpoint when started again with the same folder.
"""

import argparse
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from training import team
from training.feed import Batch, Stage, feed
from training.learner import Learner
from training.prompts import Examples
from training.validation import summary, validate, validation_batches

COARSE, FINE = Stage(128, 20, 3), Stage(256, 8, 3)
SMOKE = Stage(128, 2, 2)
COARSE_SHARE = 0.8
SAVE_EVERY_S, VALIDATE_EVERY_S = 120.0, 1800.0
log = logging.getLogger("training")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="training.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and weights")
    parser.add_argument("--minutes", type=float, default=180.0, help="length of the whole run, resumes included")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=7e-4, help="highest learning rate")
    parser.add_argument("--init", type=Path, help="weights to start from instead of fresh ones")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="processes that draw images; 0 draws in this one")
    parser.add_argument("--smoke", action="store_true", help="four steps on tiny batches, to see that it runs")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Train, or go on training; write `weights.pt` (half precision, moving average) at the end."""
    options = parse(arguments)
    options.rank, options.n_processes = team.join()
    options.out.mkdir(parents=True, exist_ok=True)
    handlers = [logging.StreamHandler(), logging.FileHandler(options.out / "train.log")]
    level = logging.INFO if options.rank == 0 else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", handlers=handlers, force=True)
    torch.set_num_threads(options.threads)
    learner = start(options)
    run(learner, options)
    if options.rank == 0:
        write_weights(learner, options.out)
    return 0


def start(options: argparse.Namespace) -> Learner:
    """Build the learner, or load it from the folder's checkpoint."""
    learner = Learner(options.seed, options.rate, device=options.device)
    checkpoint = options.out / "checkpoint.pt"
    if checkpoint.is_file():
        learner.resume(checkpoint)
        log.info("resumed at step %d, %.0f s", learner.progress.steps, learner.progress.seconds)
    elif options.init is not None:
        learner.warm_start(options.init)
    learner.progress.starts += 1
    return learner


def run(learner: Learner, options: argparse.Namespace) -> None:
    """Train through the stages that are left."""
    total_s = 60 * options.minutes
    stages = [(SMOKE, total_s)] if options.smoke else [(COARSE, COARSE_SHARE * total_s), (FINE, total_s)]
    for stage, end_s in stages:
        seed = (options.seed, learner.progress.starts, stage.side_px, options.rank)
        stage = replace(stage, n_images=max(1, stage.n_images // options.n_processes))
        if learner.progress.seconds < end_s:
            with feed(stage, seed, options.workers) as batches:
                run_stage(learner, batches, end_s, options)


def run_stage(learner: Learner, batches: Iterator[list[Examples]], end_s: float, options: argparse.Namespace) -> None:
    """Train until the run has lasted `end_s` seconds, saving and validating as it goes."""
    progress, total_s = learner.progress, 60 * options.minutes
    last_save = last_check = progress.seconds
    clock = time.monotonic()
    held_out = validation_batches(2, 128) if options.smoke else validation_batches(16)
    recent: list[dict[str, float]] = []
    while progress.seconds < end_s and not (options.smoke and progress.steps >= 4 * progress.starts):
        recent.append(learner.step(Batch.collate(next(batches), options.device), progress.seconds / total_s))
        now = time.monotonic()
        progress.seconds, clock = team.agree(progress.seconds + now - clock), now
        if options.rank:
            continue
        if progress.steps % 25 == 0:
            log.info("%s", describe(learner, recent))
            recent = []
        if progress.seconds - last_save > SAVE_EVERY_S:
            learner.save(options.out / "checkpoint.pt")
            last_save = progress.seconds
        if progress.seconds - last_check > VALIDATE_EVERY_S:
            check(learner, held_out)
            last_check = progress.seconds
    if options.rank == 0:
        check(learner, held_out)
        learner.save(options.out / "checkpoint.pt")


def describe(learner: Learner, recent: list[dict[str, float]]) -> str:
    """Write the means of the last steps on one line."""
    means = {}
    for name in recent[0]:
        values = [each[name] for each in recent if each[name] == each[name]]
        means[name] = sum(values) / max(1, len(values))
    progress = learner.progress
    return f"step={progress.steps} s={progress.seconds:.0f} prompts={progress.prompts} {summary(means)}"


def check(learner: Learner, held_out: list[Batch]) -> None:
    """Validate the moving average; keep the result in the history."""
    results = validate(learner.average.cpu(), held_out, with_rounds=True)
    learner.average.to(learner.device)
    learner.progress.history.append({"step": learner.progress.steps, **results})
    log.info("validation %s", summary(results))


def write_weights(learner: Learner, folder: Path) -> None:
    """Write the moving average in half precision, and beside it how it was trained."""
    state = learner.average.cpu().state_dict()
    torch.save(
        {name: value.half() if value.is_floating_point() else value for name, value in state.items()},
        folder / "weights.pt",
    )
    progress = vars(learner.progress)
    (folder / "training.json").write_text(json.dumps(progress, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
