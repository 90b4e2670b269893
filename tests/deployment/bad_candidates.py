"""More than thirty ways to be a bad model, as real packages: some are refused, the others load and misbehave.

Those that load bring golden samples of their own, as a package would that was made from a bad model, so
that nothing but the traffic can tell them apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from linnet.artifacts.onnx_model import GOLDEN_FILE, MODEL_FILE, PACKAGE_FILE, model_digest
from linnet.vision.statistics import FEATURES
from tests.serving.packages import CLASSES, make_package

Change = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Bad:
    """A kind of bad candidate: how a good package becomes it, and whether it is refused before traffic."""

    change: Change
    refused: bool
    quick: bool = False
    """Whether it is in the short form of the test."""


def plant(kind: str, folder: Path) -> Path:
    """A package of the kind in `folder`."""
    make_package(folder)
    BAD[kind].change(folder)
    return folder


def _file(name: str, content: Callable[[bytes], bytes | None]) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        changed = content(path.read_bytes())
        path.unlink() if changed is None else path.write_bytes(changed)

    return change


def _described(**values: Any) -> Change:
    """Another package.json."""

    def change(folder: Path) -> None:
        path = folder / PACKAGE_FILE
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def _graph(edit: Callable[[Any], None], *, golden: bool = True) -> Change:
    """Another graph, with its own digest and, if `golden`, its own golden samples."""

    def change(folder: Path) -> None:
        import onnx

        path = folder / MODEL_FILE
        model = onnx.load(str(path))
        edit(model.graph)
        onnx.save(model, str(path))
        _described(model_digest=model_digest(path))(folder)
        if golden:
            _own_golden(folder)

    return change


def _own_golden(folder: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / MODEL_FILE), providers=["CPUExecutionProvider"])
    with np.load(folder / GOLDEN_FILE) as golden:
        images, features = golden["images"][4:], golden["features"][4:]
    kept, answers = [], []
    for place in range(len(images)):  # one by one: a model that raises on some has them left out
        one = slice(place, place + 1)
        try:
            (answer,) = session.run(["probabilities"], {"image": images[one], "features": features[one]})
        except Exception:  # noqa: BLE001 -- onnxruntime has a class of its own for each
            continue
        kept.append(place)
        answers.append(answer)
    assert kept, "a candidate that answers nothing would be refused, and prove nothing"
    np.savez(
        folder / GOLDEN_FILE,
        images=images[kept], features=features[kept], probabilities=np.concatenate(answers),
    )  # fmt: skip


def _constant(name: str, change: Callable[[Any], Any]) -> Change:
    """A constant of the graph is another one."""

    def edit(graph: Any) -> None:
        _set(graph, name, change)

    return _graph(edit)


def _set(graph: Any, name: str, change: Callable[[Any], Any]) -> None:
    from onnx import numpy_helper

    for place, tensor in enumerate(graph.initializer):
        if tensor.name == name:
            values = np.asarray(change(numpy_helper.to_array(tensor)), np.float32)
            graph.initializer[place].CopyFrom(numpy_helper.from_array(values, name))


def _last(*nodes: tuple[str, list[str], str, dict[str, Any]], **constants: Any) -> Change:
    """Nodes between `soft` and `probabilities`; the last one's output is what is answered."""

    def edit(graph: Any) -> None:
        from onnx import helper, numpy_helper

        for name, value in constants.items():
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        kept = [node for node in graph.node if "probabilities" not in node.output]
        kept += [helper.make_node(kind, inputs, [output], **more) for kind, inputs, output, more in nodes]
        kept.append(helper.make_node("Identity", [nodes[-1][2]], ["probabilities"]))
        del graph.node[:]
        graph.node.extend(kept)

    return _graph(edit)


def _where(condition: tuple[str, str], otherwise: list[str] | None = None, **constants: Any) -> Change:
    """`wrong` is answered where brightness is (Less or Greater) than `level`."""
    kind, _ = condition
    return _last((kind, ["brightness", "level"], "bad", {}), ("Where", ["bad", "wrong", "soft"], "mixed", {}),
                 **constants)  # fmt: skip


def _slow_where(kind: str, level: float, size: int) -> Change:
    """Multiplies matrices of `size` where brightness is Less or Greater than `level`, else of one row.

    One such image makes its whole batch slow.
    """
    weights = np.full((size, size), 1e-9, np.float32)
    return _last(
        (kind, ["brightness", "level"], "slow", {}),
        ("Cast", ["slow"], "flags", {"to": 7}),
        ("ReduceMax", ["flags"], "flag", {"keepdims": 0}),
        ("Mul", ["flag", "rows"], "many2", {}),
        ("Add", ["many2", "one"], "many", {}),
        ("Reshape", ["many", "flat"], "count", {}),
        ("Concat", ["count", "columns"], "shape", {"axis": 0}),
        ("ConstantOfShape", ["shape"], "zeros", {}),
        ("MatMul", ["zeros", "weights"], "first", {}),
        ("MatMul", ["first", "weights"], "second", {}),
        ("ReduceMax", ["second"], "nothing", {"axes": [0, 1], "keepdims": 0}),
        ("Add", ["soft", "nothing"], "slowed", {}),
        level=np.float32(level), rows=np.array([[size]]), one=np.array([[1]]), flat=np.array([1]),
        columns=np.array([size]), weights=weights,
    )  # fmt: skip


def _by_feature(folder: Path) -> None:
    """The same model, which reads brightness from the features instead of the pixels."""

    def edit(graph: Any) -> None:
        from onnx import helper, numpy_helper

        place = FEATURES.index("brightness")
        graph.initializer.append(numpy_helper.from_array(np.array([place]), "place"))
        nodes = [
            helper.make_node("Gather", ["features", "place"], ["brightness"], axis=1)
            if "brightness" in node.output
            else node
            for node in graph.node
        ]
        del graph.node[:]
        graph.node.extend(nodes)

    _graph(edit)(folder)


def _reversed(folder: Path) -> None:
    """The package names its features in another order than the model reads them."""
    _described(features=list(reversed(FEATURES)))(folder)


def _rename(old: str, new: str) -> Change:
    def edit(graph: Any) -> None:
        for node in graph.node:
            node.output[:] = [new if name == old else name for name in node.output]
            node.input[:] = [new if name == old else name for name in node.input]
        for value in (*graph.input, *graph.output):
            value.name = new if value.name == old else value.name

    return _graph(edit, golden=False)


def _serving(broken: Any) -> Change:
    return lambda folder: (make_package(folder, broken=broken, slow_rounds=1400), None)[1]


ROW = [0.97, 0.01, 0.01, 0.01]
BAD: dict[str, Bad] = {
    # refused when they are loaded
    "corrupt onnx": Bad(_serving("corrupt"), True, quick=True),
    "truncated onnx": Bad(_file(MODEL_FILE, lambda data: data[: len(data) // 2]), True, quick=True),
    "empty onnx": Bad(_file(MODEL_FILE, lambda _: b""), True),
    "no onnx": Bad(_file(MODEL_FILE, lambda _: None), True),
    "onnx that is a web page": Bad(_file(MODEL_FILE, lambda _: b"<html>502 Bad Gateway</html>"), True),
    "stale package digest": Bad(_described(model_digest="0" * 40), True, quick=True),
    "no package.json": Bad(_file(PACKAGE_FILE, lambda _: None), True),
    "damaged package.json": Bad(_file(PACKAGE_FILE, lambda data: data[:-20]), True),
    "no golden samples": Bad(_file(GOLDEN_FILE, lambda _: None), True),
    "damaged golden samples": Bad(_file(GOLDEN_FILE, lambda data: data[:100]), True),
    "not the model that was evaluated": Bad(_serving("golden"), True, quick=True),
    "wrong shape of output": Bad(_serving("shape"), True, quick=True),
    "NaN output": Bad(_serving("nan"), True, quick=True),
    "fewer classes than it answers": Bad(_described(classes=CLASSES[:3]), True),
    "another image size": Bad(_described(height=16), True),
    "wrong feature order": Bad(lambda folder: (_by_feature(folder), _reversed(folder))[1], False),
    "features that nobody computes": Bad(_described(features=["price", "weight", "a", "b", "c", "d"]), True),
    "another output name": Bad(_rename("probabilities", "scores"), True),
    "logits for probabilities": Bad(
        _last(("Identity", ["logits"], "raw", {})), True
    ),
    "negative probabilities": Bad(
        _last(("Sub", ["soft", "shift"], "below", {}), shift=np.array([0.9, -0.9, 0, 0], np.float32)), True
    ),
    # loaded, and found out by traffic
    "permuted labels": Bad(_serving("permuted"), False, quick=True),
    "slow": Bad(_serving("slow"), False),
    "fails on 2 %": Bad(_serving("raising"), False),
    "NaN on 2 %": Bad(_serving("nan_some"), False),
    "constant class": Bad(
        _last(("Mul", ["soft", "nil"], "none", {}), ("Add", ["none", "row"], "always", {}),
              nil=np.float32(0), row=np.array([ROW], np.float32)),
        False,
        quick=True,
    ),
    "a broken slice": Bad(
        _where(("Greater", "level"), level=np.float32(0.8), wrong=np.array([ROW], np.float32)), False
    ),
    "other preprocessing": Bad(_constant("scale", lambda _: 170.0), False),
    "inverted images": Bad(_constant("scale", lambda _: -255.0), False),
    "overconfident": Bad(_constant("sharpness", lambda value: value * 200), False, quick=True),
    "underconfident": Bad(_constant("sharpness", lambda value: value / 12), False),
    "sleeps on one class": Bad(_slow_where("Greater", 0.75, 1400), False),
    "raises on bright images": Bad(
        _last(
            ("Greater", ["brightness", "level"], "bright", {}), ("Cast", ["bright"], "index", {"to": 7}),
            ("Gather", ["table", "index"], "nothing", {"axis": 0}), ("Add", ["soft", "nothing"], "sum", {}),
            level=np.float32(0.95), table=np.zeros(1, np.float32),
        ),
        False,
    ),
    "hogs memory": Bad(_slow_where("Less", 2.0, 1600), False),
    "two classes swapped": Bad(_constant("center", lambda value: value[:, [0, 2, 1, 3]]), False),
    "blind to dark images": Bad(
        _where(("Less", "level"), level=np.float32(0.2), wrong=np.full((1, 4), 0.25, np.float32)), False
    ),
}  # fmt: skip
