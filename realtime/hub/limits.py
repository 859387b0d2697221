"""How many, how fast: token buckets and counts. Pure bookkeeping; the limits themselves are settings."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Bucket:
    """A token bucket: `burst` at once, `rate` a second lasting."""

    rate: float
    burst: float
    tokens: float = -1.0
    at: float = field(default_factory=time.monotonic)

    def take(self, now: float | None = None, count: int = 1) -> bool:
        """Take a token, or as many of `count` as there are; return False where there is none."""
        now = time.monotonic() if now is None else now
        if self.tokens < 0:
            self.tokens = self.burst
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens = max(0.0, self.tokens - count)
        return True

    def wait(self) -> float:
        """Return in how many seconds a token will be there, as of the last `take`."""
        return max(0.0, (1 - self.tokens) / self.rate)


class Buckets:
    """A bucket for each key.

    Those longest unused are forgotten past `most` keys (they are full again by then, or nearly).
    """

    def __init__(self, rate: float, burst: float, most: int = 10_000) -> None:
        self._rate, self._burst, self._most = rate, burst, most
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def take(self, key: Hashable, count: int = 1) -> bool:
        """Take a token of `key`'s bucket, or as many of `count` as there are; return False where there is none."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate, self._burst)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(count=count)


class Refusals:
    """How long a refusal is held back from whom it has been told often.

    The first `free` are told at once, each further one after twice as long. A key that is refused no more for
    `FORGOTTEN_SECONDS` begins anew; those longest unused are forgotten past `most` keys.
    """

    FIRST_SECONDS, LONGEST_SECONDS, FORGOTTEN_SECONDS = 0.1, 5.0, 60.0

    def __init__(self, free: int, most: int = 10_000) -> None:
        self._free, self._most = free, most
        self._seen: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def delay(self, key: Hashable, now: float | None = None) -> float:
        """Count one more refusal of `key`; return how many seconds to wait before it is told."""
        now = time.monotonic() if now is None else now
        count, last = self._seen.get(key, (0, now))
        count = count + 1 if now - last < self.FORGOTTEN_SECONDS else 1
        self._seen[key] = (count, now)
        self._seen.move_to_end(key)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        over = count - self._free
        return min(self.LONGEST_SECONDS, self.FIRST_SECONDS * 2.0 ** min(over - 1, 10)) if over > 0 else 0.0


class Counts:
    """How many there are for each key, and whether one more is within a limit."""

    def __init__(self) -> None:
        self._counts: Counter[Hashable] = Counter()

    def __getitem__(self, key: Hashable) -> int:
        return self._counts[key]

    def add(self, key: Hashable) -> None:
        """One more."""
        self._counts[key] += 1

    def remove(self, key: Hashable) -> None:
        """One less."""
        self._counts[key] -= 1
        if self._counts[key] <= 0:
            del self._counts[key]
