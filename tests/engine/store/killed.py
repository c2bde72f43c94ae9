"""Processes that measure into a store and are killed. Run as a program of its own, which has one thread and so can fork:

    python -m tests.engine.store.killed FOLDER

It prints what it saw as JSON; `test_killing.py` judges it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tests.engine.store.sweeps import finished, measure, same
from tests.tiny_pairs import tiny_llama

from assay import Experiment, capture, edit, metric, sweep
from assay.core.result import Result
from assay.engine import naive, runner
from assay.engine.store import Store
from assay.engine.store.verify import verify

IDS = [[5, 7, 11, 13], [6, 9, 12, 2], [1, 2, 3, 4]]
PASS = 0.02
"""Seconds that a pass takes at least."""
KILLS = 20


def many() -> Experiment:
    """24 variants for each of three examples; one at a time."""
    made = sweep(
        edit.zero("z"), over={"layer": None, "head": None, "pos": [0, 2]}, inputs={"a": IDS}, base="a",
        metrics=[metric.logit_diff(3, 4), metric.entropy(run="a")],
    )  # fmt: skip
    runs = {
        "swept": made.runs["swept"].model_copy(update={"captures": (capture.site("L2.mlp_out", dtype="bfloat16"),)})
    }
    return Experiment(**{**dict(made), "runs": runs})


def few() -> Experiment:
    """Three variants of one prompt."""
    return sweep(edit.zero("mlp_out"), over=["layer"], inputs={"a": IDS[0]}, base="a", metrics=[metric.entropy()])


MODEL = tiny_llama()
MANY, FEW = many(), few()


def run_many(store: Path) -> Result:
    return measure(MODEL, MANY, Store(store, every=0.0), batch=1)


def child(work: Callable[[], None]) -> int:
    """Do it in a process of its own; gives its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for it; its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def logged(log: Path, out: Path, store: Path, pause: float = PASS) -> Callable[[], None]:
    """Measure with slow passes; every variant is written down when its numbers are there, before the journal has them."""

    def work() -> None:
        lines = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        forward, record = runner.forward, naive.record

        def slow(*args: Any, **kwargs: Any) -> Any:
            time.sleep(pause)
            return forward(*args, **kwargs)

        def noted(table: Any, made: Any, runs: Any, index: tuple[int, ...]) -> None:
            record(table, made, runs, index)
            os.write(lines, (json.dumps([list(made.rows), list(index)]) + "\n").encode())

        runner.forward, naive.record = slow, noted  # type: ignore[assignment]
        run_many(store).save(out)

    return work


def computed(log: Path) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The variants that were written down; what does not vary is left out."""
    if not log.exists():
        return set()
    found = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("]]")]
    return {(tuple(rows), tuple(index)) for rows, index in found if index}


def wait_for(variants: int, log: Path) -> None:
    """Until so many are written down; a loaded machine takes longer to come there."""
    patience = time.monotonic() + 60
    while len(computed(log)) < variants and time.monotonic() < patience:
        time.sleep(0.001)


def on_disk(store: Path) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    return {each for entry in Store(store).entries() for each in finished(entry)}


def kill_at_random(folder: Path, whole: Result) -> Iterator[dict[str, Any]]:
    """20 kills at random moments, each followed by a restart; a finished store is begun anew.

    A moment is a time after a number of variants, so that a slow machine comes as far as a fast one.
    """
    moments, store, kills = random.Random(0), folder / "store 0", 0
    while True:
        log, out = folder / f"log {kills}", folder / "out.npz"
        out.unlink(missing_ok=True)
        before = on_disk(store)
        pid = child(logged(log, out, store))
        if kills < KILLS:
            wait_for(moments.randrange(4), log)
            time.sleep(moments.uniform(0.0, 3 * PASS))
            os.kill(pid, signal.SIGKILL)
        code = ended(pid)
        after, made = on_disk(store), computed(log)
        done = code == 0
        yield {
            "killed": code == -signal.SIGKILL,
            "code": code,
            "before": len(before),
            "computed": len(made),
            "again": len(made & before),
            "lost": 0 if done else len(made - after),
            "gone": 0 if done else len(before - after),
            "damaged": [str(path) for _, path, _ in verify(Store(store).entries()).damaged],
            "same": same(Result.load(out), whole) if done else None,
        }
        if kills == KILLS:
            return
        kills += 1
        if done:
            store = folder / f"store {kills}"


def dying(step: int, store: Path) -> Callable[[], None]:
    """Measure, and be killed in the middle of the `step`-th thing that is done to a disk; a write is then half done."""

    def work() -> None:
        count = [0]

        def counting(original: Callable[..., Any], half: bool = False) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                count[0] += 1
                if count[0] == step:
                    if half:
                        original(args[0], args[1][: len(args[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*args, **kwargs)

            return call

        Path.write_bytes = counting(Path.write_bytes, half=True)  # type: ignore[method-assign]
        os.fsync, os.replace = counting(os.fsync), counting(os.replace)
        Path.unlink, Path.mkdir = counting(Path.unlink), counting(Path.mkdir)  # type: ignore[method-assign]
        measure(MODEL, FEW, Store(store, every=0.0))

    return work


def kill_at_every_step(folder: Path) -> Iterator[dict[str, Any]]:
    """One death at each step, each in a store of its own, and the second start."""
    whole, step = measure(MODEL, FEW), 0
    while True:
        step += 1
        store = folder / f"step {step}"
        code = ended(child(dying(step, store)))
        damaged = [str(path) for _, path, _ in verify(Store(store).entries()).damaged]
        before = len(on_disk(store))
        entries = Store(store).entries()
        there = bool(entries and entries[0].results)
        out = store / "out"
        second = ended(child(lambda out=out, store=store: measure(MODEL, FEW, store).save(out) and None))  # type: ignore[misc]
        result = Result.load(out)
        yield {
            "code": code,
            "second": second,
            "damaged": damaged,
            "pieces": before,
            "result": there,
            "same": same(result, whole),
        }
        if code == 0:
            return


def two_at_once(folder: Path, whole: Result, kill: bool) -> dict[str, Any]:
    """Two processes measure the same into one store, one of them a little later, and that one may be killed."""
    store = folder / "both"
    logs, outs = [folder / "log a", folder / "log b"], [folder / "a.npz", folder / "b.npz"]
    pids = [child(logged(logs[0], outs[0], store, 0.004))]
    time.sleep(0.05)
    pids.append(child(logged(logs[1], outs[1], store, 0.003)))
    if kill:
        wait_for(3, logs[1])
        os.kill(pids[1], signal.SIGKILL)
    codes = [ended(pid) for pid in pids]
    (entry,) = Store(store).entries()
    return {
        "codes": codes,
        "same": [same(Result.load(out), whole) for out in outs if out.exists()],
        "kept": [same(entry.read_result(path), whole) for path in entry.results],
        "damaged": [str(path) for _, path, _ in verify([entry]).damaged],
        "computed": [len(computed(log)) for log in logs],
    }


def main(folder: Path) -> None:
    """All of it."""
    torch.set_num_threads(1)
    for name in ("random", "steps", "two", "two and a kill"):
        (folder / name).mkdir(parents=True)
    whole = measure(MODEL, MANY, batch=1)
    report = {
        "random": list(kill_at_random(folder / "random", whole)),
        "steps": list(kill_at_every_step(folder / "steps")),
        "two": two_at_once(folder / "two", whole, kill=False),
        "two and a kill": two_at_once(folder / "two and a kill", whole, kill=True),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
