import random

from napts.experiment.clock import PARTS, Clock, Times


class Instants:
    """A source of time that moves by an unpredictable amount at every look."""

    def __init__(self, seed: int) -> None:
        self._steps = random.Random(seed)
        self.seen = [self._steps.randrange(10**12)]

    def __call__(self) -> int:
        self.seen.append(self.seen[-1] + self._steps.randrange(10**9))
        return self.seen[-1]


def test_every_instant_belongs_to_exactly_one_part() -> None:
    wall = Instants(1)
    clock = Clock(wall=wall, cpu=Instants(2))
    start, choice = wall.seen[-1], random.Random(3)
    total = 0
    for _ in range(20):
        for _ in range(choice.randrange(6)):
            clock.switch(choice.choice(PARTS))
        lap = clock.lap()
        assert lap.total_ns == sum(lap.wall_ns.values())
        total += lap.total_ns
    assert total == wall.seen[-1] - start


def test_time_is_charged_to_the_part_it_was_spent_in() -> None:
    now = iter([0, 5, 12, 30, 100])
    clock = Clock(wall=lambda: next(now), cpu=lambda: 0)
    clock.switch("train")
    clock.switch("evaluation")
    clock.switch("checkpoint")
    lap = clock.lap()
    assert lap.wall_ns == {"logging": 5, "train": 7, "evaluation": 18, "checkpoint": 70}
    assert lap.seconds("train") == 7e-9


def test_cpu_time_counts_training_only() -> None:
    cpu = iter([0, 100, 103, 500])
    clock = Clock(wall=lambda: 0, cpu=lambda: next(cpu))
    clock.switch("train")
    clock.switch("evaluation")
    assert clock.lap().cpu_ns == 3


def test_a_lap_starts_from_nothing_and_keeps_the_part() -> None:
    now = iter([0, 1, 4, 9])
    clock = Clock(wall=lambda: next(now), cpu=lambda: 0)
    clock.switch("train")
    clock.lap()
    assert clock.lap().wall_ns == {"train": 5, "evaluation": 0, "checkpoint": 0, "logging": 0}


def test_time_of_an_earlier_process_is_added() -> None:
    clock = Clock(wall=lambda: 0, cpu=lambda: 0)
    clock.add(Times({"train": 3, "evaluation": 0, "checkpoint": 2, "logging": 0}, cpu_ns=7))
    saved = clock.so_far()
    lap = clock.lap()
    assert saved == lap
    assert (lap.wall_ns["train"], lap.wall_ns["checkpoint"], lap.cpu_ns) == (3, 2, 7)
