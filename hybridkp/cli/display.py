"""What the commands say while they work: one-line notes and a bar, all on stderr."""

from __future__ import annotations

import sys
import time


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bar:
    """A bar on a terminal, a line per step elsewhere; called as bar(what, done, total)."""

    def __init__(self, unit: str, prefix: str = "") -> None:
        from tqdm import tqdm

        self.prefix = prefix
        self.bar = tqdm(file=sys.stderr, disable=None, leave=False, unit=unit)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def __call__(self, what: str, done: int, total: int) -> None:
        self.bar.total, what = total, self.prefix + what
        if self.bar.disable:
            say(f"[{done}/{total}] {what}")
        self.bar.set_description(what, refresh=False)
        self.bar.update(done - self.bar.n)


class Display:
    """Progress on stderr: a bar on a terminal, a line per finished method elsewhere."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        self.total, self.done = total, 0
        self.failed: list[str] = []
        self.started: dict[tuple[str, int], float] = {}
        self.stages: dict[tuple[str, int], str] = {}
        self.bar = tqdm(total=total, file=sys.stderr, disable=None, leave=False, unit="method")

    def __call__(self, event: str, method: str, seed: int, detail: str) -> None:
        key = (method, seed)
        name = f"{method} (seed {seed})" if seed else method
        if event == "stale":
            self.bar.write(f"{name}: computed again, {detail}", file=sys.stderr)
        elif event == "start":
            self.started[key] = time.perf_counter()
            self.stages[key] = "starts"
        elif event == "stage":
            self.stages[key] = detail
        elif event == "timed":  # counted when it was done
            self.stages.pop(key, None)
        else:
            self.stages.pop(key, None)
            self.done += 1
            if event == "failed":
                self.failed.append(name)
            text = {"kept": "kept from before", "failed": f"FAILED: {detail}"}.get(event)
            text = text or f"{time.perf_counter() - self.started[key]:.0f} s"
            self.bar.write(f"[{self.done}/{self.total}] {name}: {text}", file=sys.stderr)
            self.bar.update()
        self.bar.set_description(", ".join(f"{m} {stage}" for (m, _), stage in self.stages.items()))

    def close(self) -> None:
        self.bar.close()
