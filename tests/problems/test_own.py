"""A problem of one's own: what it says, what is checked, what the harness makes of it."""

import random
import sys
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional

import napts
from napts.problems import (
    EpochOrder,
    ProblemOptions,
    TensorSamples,
    get_problem,
    options_model,
    problem_class,
    problem_names,
    register_problem,
    registry,
)
from napts.problems.evaluation import checked


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Leave the registry as it was."""
    monkeypatch.setattr(registry, "_PROBLEMS", dict(registry._PROBLEMS))
    monkeypatch.setattr(registry, "_FILES", dict(registry._FILES))


def samples(n: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.linspace(-1, 1, 2 * n).view(n, 2)
    return inputs, inputs.sum(1, keepdim=True) ** 2


class Wine(napts.Problem):
    """As the documentation writes it."""

    batch_size, subdomains, primary = 4, 2, ("r2", "max")

    def network(self):
        return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))

    def data(self, root=None):
        return samples(), samples(7), samples(5)

    def loss(self, model, batch):
        inputs, targets = batch
        return ((model(inputs) - targets) ** 2).mean()

    def metrics(self, model, samples):
        inputs, targets = samples.all()
        error = ((model(inputs) - targets) ** 2).mean()
        return {"r2": 1 - error / targets.var(unbiased=False), "count": len(samples)}


def test_a_registered_problem_is_found_by_its_name():
    assert register_problem("wine")(Wine) is Wine
    assert problem_names()[-1] == "wine"
    assert problem_class("wine") is Wine
    assert isinstance(get_problem("wine"), Wine)
    assert Wine.name == "wine"
    assert options_model("wine") is ProblemOptions


def test_loss_and_metrics_are_those_of_the_whole_set_whatever_the_batches():
    problem = Wine()
    data = problem.load(dtype=torch.float64)
    model = problem.build_model(0).double()
    model.train()
    inputs, targets = data.validation.all()
    expected = ((model(inputs) - targets) ** 2).mean().item()
    for size in (1, 3, 1000):
        found = problem.evaluate(model, data.validation, batch_size=size)
        assert found.loss == pytest.approx(expected, rel=1e-12)
        assert found == {"loss": found.loss, "r2": found.r2, "count": 7.0}
    with pytest.raises(AttributeError):
        _ = found.accuracy
    assert model.training


def test_evaluation_is_without_dropout_and_gradients():
    seen = []

    class Watching(Wine):
        def metrics(self, model, samples):
            seen.append((model.training, torch.is_grad_enabled()))
            return {"r2": 0.0}

    class Differentiating(Watching):
        needs_grad = True

    for kind in (Watching, Differentiating):
        kind().evaluate(kind().build_model(0), kind().load().test)
    assert seen == [(False, False), (False, True)]


def test_a_loss_with_derivatives_is_told_what_to_say():
    class Slope(Wine):
        def loss(self, model, batch):
            points = batch[0].detach().requires_grad_()
            (slope,) = torch.autograd.grad(model(points).sum(), points, create_graph=True)
            return slope.square().mean()

    with pytest.raises(ValueError, match=r"Slope: loss\(\) or metrics\(\) takes derivatives: set"):
        Slope().evaluate(Slope().build_model(0), Slope().load().test)
    Slope.needs_grad = True
    model = Slope().build_model(0)
    assert Slope().evaluate(model, Slope().load().test).loss > 0
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"r2": float("nan")}, "Odd.metrics, metric 'r2': found nan, allowed: finite numbers"),
        ({"r2": float("inf")}, "Odd.metrics, metric 'r2': found inf, allowed: finite numbers"),
        ({"r2": "good"}, "Odd.metrics, metric 'r2': found str, allowed: a number"),
        ({"r2": None}, "Odd.metrics, metric 'r2': found NoneType, allowed: a number"),
        ({"r2": torch.ones(3)}, r"metric 'r2': found Tensor of shape \(3,\), allowed: a number"),
        ({"r2": numpy.ones(2)}, r"metric 'r2': found ndarray of shape \(2,\), allowed: a number"),
        ({"r2": 1, "loss": 2}, "Odd.metrics: found the name 'loss', allowed: other names"),
        ({"R2": 1}, "Odd.metrics: found the name 'R2', allowed: names of a-z, 0-9 and _"),
        ({"r 2": 1}, "found the name 'r 2'"),
        ({"2r": 1}, "found the name '2r'"),
        ({"": 1}, "found the name ''"),
        ({3: 1}, "found the name 3"),
        ({"mse": 1}, "Odd.primary: found 'r2', allowed: loss, mse, the metrics"),
        (None, "Odd.metrics: found NoneType, allowed: a dictionary of named numbers"),
        ([1.0], "Odd.metrics: found list, allowed"),
    ],
)
def test_metrics_are_checked(metrics, message):
    class Odd(Wine):
        def metrics(self, model, samples):
            return metrics

    Odd.__qualname__ = "Odd"
    with pytest.raises(ValueError, match=message) as caught:
        Odd().evaluate(Odd().build_model(0), Odd().load().test)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (1.0, "found float, allowed: a tensor with one number"),
        (None, "found NoneType, allowed: a tensor with one number"),
        (torch.ones(30, 1), r"found a tensor of float32 of shape \(30, 1\), allowed: one real"),
        (torch.ones(1), r"found a tensor of float32 of shape \(1,\), allowed: one real"),
        (torch.tensor(1), r"found a tensor of int64 of shape \(\), allowed: one real"),
        (torch.tensor(1j), "found a tensor of complex64"),
    ],
)
def test_a_loss_is_one_number(loss, message):
    class Odd(Wine):
        def loss(self, model, batch):
            return loss

    class Supervised(napts.Regression):
        network, data = Wine.network, Wine.data

        def criterion(self, outputs, targets):
            return loss

        def totals(self, outputs, targets):
            return {}

    Odd.__qualname__, Supervised.__qualname__ = "Odd", "Sup"
    for problem, where in ((Odd(), r"Odd\.loss"), (Supervised(), r"Sup\.criterion")):
        with pytest.raises(ValueError, match=f"^{where}: {message}"):
            problem.evaluate(problem.build_model(0), problem.load().test)


def test_metrics_may_be_numbers_of_any_library():
    class Various(Wine):
        def metrics(self, model, samples):
            return {"r2": torch.tensor([0.5]), "a": numpy.float32(2), "b": numpy.array(3).item()}

    found = Various().evaluate(Various().build_model(0), Various().load().test)
    assert {k: found[k] for k in ("r2", "a", "b")} == {"r2": 0.5, "a": 2.0, "b": 3.0}
    assert all(type(value) is float for value in found.values())


def test_where_the_loss_is_not_finite_it_and_not_the_metrics_is_the_news():
    model = Wine().build_model(0)
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    found = Wine().evaluate(model, Wine().load().test)
    assert found.loss != found.loss
    assert found.r2 != found.r2


# --- registration --------------------------------------------------------------------------------


def redefined(base: type = Wine, **attributes) -> type:
    return type("Odd", (base,), {"__qualname__": "Odd", **attributes})


class WithName(ProblemOptions):
    name: int = 1


@pytest.mark.parametrize(
    ("problem", "error", "message"),
    [
        (3, TypeError, "problem 'odd': found 3, allowed: subclasses of Problem"),
        (len, TypeError, "problem 'odd': found len, allowed: subclasses of Problem"),
        (nn.Linear, TypeError, "allowed: subclasses of Problem"),
        (napts.Problem, TypeError, "class Problem: lacks data, loss, network"),
        (redefined(batch_size=0), ValueError, "class Odd: batch_size: found 0, allowed: 1, 2, "),
        (redefined(batch_size="all"), ValueError, "batch_size: found 'all', allowed: 1, 2, "),
        (redefined(subdomains=1.5), ValueError, "subdomains: found 1.5, allowed: 1, 2, "),
        (redefined(primary="r2"), ValueError, "primary: found 'r2', allowed: a pair such as"),
        (redefined(primary=("r2", "up")), ValueError, "primary: found .*'up'"),
        (redefined(primary=("", "max")), ValueError, "primary: found the name '', allowed: names"),
        (redefined(primary=("R2", "max")), ValueError, "primary: found the name 'R2', allowed: na"),
        (redefined(primary=("loss", "max")), ValueError, "primary: found .'loss', 'max'., allowed"),
        (redefined(fractions="r2"), ValueError, "fractions: found 'r2', allowed: a tuple of nam"),
        (redefined(Options=dict), TypeError, "Options must be a subclass of napts.problems.Prob"),
        (redefined(Options=WithName), ValueError, "no option can be called 'name'"),
        (
            redefined(load=print),
            TypeError,
            "class Odd: replaces load, which belongs to the harness",
        ),
    ],
)
def test_a_class_that_cannot_be_used_is_refused_when_it_is_registered(problem, error, message):
    with pytest.raises(error, match=message):
        register_problem("odd")(problem)
    assert "odd" not in problem_names()


@pytest.mark.parametrize("register", [register_problem, napts.register_method])
@pytest.mark.parametrize("what", [napts.Problem, len])
def test_a_decorator_without_its_name_is_told(register, what):
    with pytest.raises(ValueError, match=rf"found {what.__name__} itself, allowed: a name, as in"):
        register(what)


@pytest.mark.parametrize("name", ["", "a b", "../up", "-x", 3])
def test_names_are_those_of_files(name):
    with pytest.raises(ValueError, match=r"problem: found the name .*, allowed: letters, digits"):
        register_problem(name)


FILE = """
import napts, torch
@napts.register_problem("mine")
class {name}(napts.Problem):
    batch_size = {size}
    def network(self): return torch.nn.Linear(1, 1)
    def data(self, root=None): return [torch.zeros(4, 1)] * 3
    def loss(self, model, batch): return model(batch).square().mean()
"""


def imported(path: Path, **values) -> None:
    path.write_text(FILE.format(**values))
    exec(compile(path.read_text(), str(path), "exec"), {"__name__": "mine"})


def test_a_file_that_is_imported_again_replaces_its_own_problem_and_no_other(tmp_path):
    imported(tmp_path / "a.py", name="Mine", size=3)
    imported(tmp_path / "a.py", name="Mine", size=5)
    assert problem_class("mine").batch_size == 5
    message = "problem 'mine': the name is taken by class Mine in .*a.py; choose another"
    with pytest.raises(ValueError, match=message):
        imported(tmp_path / "b.py", name="Mine", size=3)
    with pytest.raises(ValueError, match=message):
        imported(tmp_path / "a.py", name="Other", size=3)
    with pytest.raises(ValueError, match="problem 'digits-cnn': the name is taken by class Digits"):
        register_problem("digits-cnn")(Wine)


def test_options_are_fields_of_the_class():
    class Wide(Wine):
        class Options(ProblemOptions):
            width: int = 8

        def network(self):
            return nn.Linear(2, self.options.width)

    Wide = register_problem("wide")(Wide)
    assert get_problem("wide").network().out_features == 8
    assert get_problem("wide", {"width": 3}).network().out_features == 3
    with pytest.raises(ValueError, match="widht"):
        get_problem("wide", {"widht": 3})


# --- network, data, augmentation -----------------------------------------------------------------


class Drawing(Wine):
    """Draws random numbers of three kinds wherever it may."""

    def network(self):
        model = super().network()
        with torch.no_grad():
            model[0].bias.fill_(numpy.random.rand() + random.random())
        return model

    def data(self, root=None):
        inputs, targets = samples(60)
        order = torch.randperm(60)
        noise = torch.rand(60, 1) + float(numpy.random.rand()) + random.random()
        parts = order.split(20)
        return [(inputs[part], targets[part] + noise[part]) for part in parts]

    def augment(self, batch):
        inputs, targets = batch
        noise = torch.rand(len(inputs), 1) + float(numpy.random.rand()) + random.random()
        return inputs + noise, targets


def seeds(value: int) -> None:
    torch.manual_seed(value), numpy.random.seed(value), random.seed(value)


def test_network_and_data_do_not_depend_on_what_was_drawn_before():
    seeds(1)
    first, digest = Drawing().build_model(3).state_dict(), Drawing().load().digest
    after = torch.rand(1), numpy.random.rand(), random.random()
    seeds(2)
    again = Drawing().build_model(3).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["0.bias"], Drawing().build_model(4).state_dict()["0.bias"])
    assert Drawing().load().digest == digest
    seeds(1)
    assert after == (torch.rand(1), numpy.random.rand(), random.random())


def test_augmentation_is_a_function_of_seed_epoch_and_step_and_of_training_alone():
    problem = Drawing()
    data = problem.load()

    def epoch(seed: int = 0, number: int = 1, start: int = 0):
        found = problem.training_batches(data.train, EpochOrder(8, seed, number, start))
        return [inputs for inputs, _ in found]

    first = epoch()
    plain = [inputs for inputs, _ in data.train.epoch(EpochOrder(8, 0, 1))]
    assert [len(inputs) for inputs in first] == [8, 8, 4]
    shifts = [(a - b).flatten() for a, b in zip(first, plain, strict=True)]
    assert all((shift > 0).all() for shift in shifts)
    assert not torch.allclose(shifts[0], shifts[1])
    seeds(5)
    again = []
    for inputs, _ in problem.training_batches(data.train, EpochOrder(8, 0, 1)):
        torch.rand(1), numpy.random.rand(), random.random()
        again.append(inputs)
    for start in (0, 1, 2):
        resumed = epoch(start=start)
        assert all(torch.equal(a, b) for a, b in zip(first[start:], resumed, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0] - plain[0], epoch(seed=1)[0] - plain[0])
    seeds(5)
    expected = torch.rand(1)
    seeds(5)
    epoch()
    assert torch.equal(torch.rand(1), expected)
    before = data.validation.all()[0].clone()
    problem.evaluate(problem.build_model(0), data.validation)
    assert torch.equal(data.validation.all()[0], before)


def test_without_augmentation_nothing_stands_between(monkeypatch):
    data = Wine().load()
    monkeypatch.setattr("napts.problems.problem.OwnRandom", None)
    assert len(list(Wine().training_batches(data.train, EpochOrder(5, 0, 1)))) == 3


def test_a_network_that_is_none_is_named():
    class Odd(Wine):
        def network(self):
            return [nn.Linear(1, 1)]

    with pytest.raises(TypeError, match=r"Odd.network: found list, allowed: torch.nn.Module"):
        Odd().build_model(0)


# --- problems of inputs and targets --------------------------------------------------------------


class Absolute(napts.Supervised):
    """Metrics by totals; the summed loss is left to the harness."""

    primary = ("worst", "min")

    def network(self):
        return nn.Linear(2, 1)

    def data(self, root=None):
        return samples(), samples(7), samples(5)

    def criterion(self, outputs, targets):
        return functional.l1_loss(outputs, targets)

    def totals(self, outputs, targets):
        wrong = (outputs - targets).abs() > 0.5
        return {"wrong": wrong.sum(), "columns": wrong.sum(0), "half": wrong.float().sum() / 2}

    def finish(self, totals, n):
        assert totals["columns"].tolist() == [totals["wrong"]]
        return {"worst": totals["wrong"] / n, "half": totals["half"]}


def test_totals_are_summed_over_a_set_in_one_pass():
    problem = Absolute()
    validation = problem.load(dtype=torch.float64).validation
    model = problem.build_model(0).double()
    calls = []
    model.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
    found = problem.evaluate(model, validation, batch_size=3)
    assert calls == [3, 3, 1]
    inputs, targets = validation.all()
    error = (model(inputs) - targets).abs()
    assert found.loss == pytest.approx(error.mean().item(), rel=1e-12)
    assert found["worst"] == pytest.approx((error > 0.5).double().mean().item())
    problem.check_pipeline()


def test_the_sums_that_a_pipeline_collects_are_none_where_the_outputs_are_elsewhere():
    problem = Absolute()
    validation = problem.load().validation
    totals, n = problem.sums(lambda inputs, targets: None, validation)
    assert (totals, n) == ({}, 7)
    model = problem.build_model(0)
    totals, n = problem.sums(lambda inputs, targets: model(inputs), validation)
    assert set(totals) == {"loss", "wrong", "columns", "half"}
    assert problem.evaluated(totals, n) == problem.evaluate(model, validation)


def test_replaced_metrics_and_losses_count_and_cannot_be_pipelined():
    class More(Absolute):
        def metrics(self, model, samples):
            return {**super().metrics(model, samples), "seven": len(samples)}

    class Other(Absolute):
        def loss(self, model, batch):
            return 2 * super().loss(model, batch)

    model = Absolute().build_model(0)
    plain = Absolute().evaluate(model, Absolute().load().validation)
    more = More().evaluate(model, More().load().validation)
    assert {**plain, "seven": 7.0} == pytest.approx(more)
    other = Other().evaluate(model, Other().load().validation)
    assert other.loss == pytest.approx(2 * plain.loss)
    assert other["worst"] == plain["worst"]
    for kind in (More, Other, Wine):
        with pytest.raises(ValueError, match=r"allowed with \[pipeline\]: problems of class napts"):
            kind().check_pipeline()


def test_classification_with_a_head_of_its_own_is_all_one_needs():
    class Signs(napts.Classification):
        def network(self):
            return nn.Linear(2, 2)

        def data(self, root=None):
            return [(samples(n)[0], (samples(n)[0][:, 0] > 0).long()) for n in (20, 8, 8)]

    found = Signs().evaluate(Signs().build_model(0), Signs().load().test)
    assert set(found) == {"loss", "accuracy"}
    assert Signs.primary == ("accuracy", "max")
    assert Signs.fractions == ("accuracy",)


def test_a_sample_set_of_ones_own_is_taken_as_it_is():
    class Counting(TensorSamples):
        pass

    class Own(Wine):
        def data(self, root=None):
            return Counting(samples()), samples(7), samples(5)

    assert type(Own().load().train) is Counting


def test_problems_are_loaded_on_first_use_only():
    import subprocess

    code = (
        "import sys, napts; assert 'napts.problems' not in sys.modules\n"
        "assert 'pydantic' not in sys.modules and 'numpy.testing' not in sys.modules\n"
        "napts.Problem, napts.Supervised, napts.Classification, napts.Regression\n"
        "assert napts.register_problem and 'sklearn' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, 1 + 1e-7])
def test_fractions_lie_between_0_and_1(value: float) -> None:
    assert checked("Wine", "score", 1.0, {"score": value}, ("score",))["score"] == value


@pytest.mark.parametrize("value", [2.7, -0.1, 96.4])
def test_other_fractions_are_refused(value: float) -> None:
    message = rf"Wine.metrics, metric 'score': found {value}, allowed: numbers in \[0, 1\]"
    with pytest.raises(ValueError, match=message):
        checked("Wine", "score", 1.0, {"score": value, "other": value}, ("score",))
    assert checked("Wine", "score", 1.0, {"score": value})["score"] == value
