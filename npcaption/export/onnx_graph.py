"""The graph: ONNX nodes, recorded from operations on values.

A Value represents an array known only at run time. It has an array's shape and dtype, as inferred by ONNX, and the
operators and methods that the textbook uses; each of them adds nodes to the value's Graph.
"""
from typing import NamedTuple

import numpy as np
from onnx import checker, defs, helper, numpy_helper, shape_inference

OPSET, IR_VERSION = 18, 8                                    # since 2022: onnx 1.13, ONNX Runtime 1.14
IMPORTS = [helper.make_opsetid("", OPSET)]
OPTIONAL = {"LayerNormalization"}                            # operators with optional last outputs
UFUNCS = {np.add: "Add", np.subtract: "Sub", np.multiply: "Mul", np.true_divide: "Div", np.exp: "Exp"}


class Node(NamedTuple):
    kind: str
    path: tuple                 # names of the calling functions, outermost first
    inputs: list                # Values
    outputs: list
    attributes: dict


class Value:
    """An array of the graph.  type: ONNX's TypeProto; name: None until the graph gives it one"""

    def __init__(self, graph, type, name=None, constant=None):
        self.graph, self.type, self.name, self.constant = graph, type, name, constant

    @property
    def dtype(self):
        return helper.tensor_dtype_to_np_dtype(self.type.tensor_type.elem_type)

    @property
    def shape(self):
        """An int for each axis, or a text (its name, or "") if only the runtime knows it"""
        return tuple(axis.dim_value if axis.HasField("dim_value") else axis.dim_param
                     for axis in self.type.tensor_type.shape.dim)

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def T(self):
        return self.swapaxes(-1, -2)

    def astype(self, dtype):
        return self if dtype == self.dtype else op("Cast", self, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def reshape(self, *shape):
        """Like NumPy's; an axis known only at run time must have a name and stay in place, which ONNX writes as 0."""
        known = [0 if axis and isinstance(axis, str) and axis == self.shape[i] else axis
                 for i, axis in enumerate(shape)]
        if any(isinstance(axis, str) for axis in known):
            raise ValueError(f"An array {self.shape} cannot become {shape}: an axis without a number would move. Keep "
                             "it in its place.")
        return op("Reshape", self, known)

    def known_as(self, *shape):
        """This value with its shape declared: ONNX infers no shape that results from a computed one."""
        self.type = helper.make_tensor_type_proto(self.type.tensor_type.elem_type, shape)
        return self

    def swapaxes(self, first, second):
        order = list(range(self.ndim))
        order[first], order[second] = order[second], order[first]
        return op("Transpose", self, perm=order)

    def transpose(self, *order):
        return op("Transpose", self, perm=list(order))

    def sum(self, axis=None, keepdims=False):
        return self._reduce("ReduceSum", axis, keepdims)

    def mean(self, axis=None, keepdims=False):
        return self._reduce("ReduceMean", axis, keepdims)

    def _reduce(self, kind, axis, keepdims):
        axes = range(self.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
        return op(kind, self, list(axes), keepdims=int(keepdims))

    def __getitem__(self, index):
        """Rows, for a Value of their numbers; else only [..., None], [:, None], and [:, 0] on an axis of length 1"""
        if isinstance(index, Value):
            return op("Gather", self, index, axis=0)
        match index:
            case (builtin, None) if builtin is Ellipsis:
                return op("Unsqueeze", self, [-1])
            case (slice(start=None, stop=None, step=None), None):
                return op("Unsqueeze", self, [1])
            case (slice(start=None, stop=None, step=None), 0) if self.shape[1] == 1:
                return op("Squeeze", self, [1])
        raise TypeError(f"A value of a graph cannot be indexed by {index!r}.")

    def __eq__(self, other):
        """Identity for Values; TypeError for numbers: equality is unknown before run time, and False would be wrong."""
        if isinstance(other, Value):
            return self is other
        raise TypeError("A value of a graph cannot be compared while the graph is made.")

    def __bool__(self):
        raise TypeError("A value of a graph is neither true nor false while the graph is made.")

    __hash__ = object.__hash__

    def __add__(self, other):
        return op("Add", self, other)

    def __radd__(self, other):
        return self if isinstance(other, int) and other == 0 else op("Add", other, self)  # 0: the start of sum()

    def __sub__(self, other):
        return op("Sub", self, other)

    def __mul__(self, other):
        return op("Mul", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return op("Div", self, other)

    def __rtruediv__(self, other):
        return op("Div", other, self)

    def __matmul__(self, other):
        return op("MatMul", self, other)

    def __neg__(self):
        return op("Neg", self)

    def __array_ufunc__(self, ufunc, method, *inputs, **settings):
        """Called by NumPy for its functions of a Value, and for its scalars' operators."""
        if method == "__call__" and ufunc in UFUNCS and not settings:
            return op(UFUNCS[ufunc], *inputs)
        return NotImplemented                                # NumPy then raises TypeError

    def __array_function__(self, function, types, arguments, settings):
        if function is np.concatenate:
            return op("Concat", *arguments[0], **settings)
        if function is np.split:
            value, parts = arguments
            if isinstance(parts, int):
                return op("Split", value, outputs=parts, num_outputs=parts, **settings)
            ends = [0, *parts, value.shape[settings["axis"]]]
            return op("Split", value, list(np.diff(ends)), outputs=len(ends) - 1, **settings)
        return NotImplemented


def op(kind, *inputs, outputs=1, **attributes):
    """Add a node to the graph of its inputs -> its output, or a list of several

    At least one input is a Value; a list holds integers (axes, a shape); a number gets the first Value's dtype.
    """
    first = next(value for value in inputs if isinstance(value, Value))
    return first.graph.add(kind, [value if isinstance(value, Value) else first.graph.constant(value, first.dtype)
                                  for value in inputs], outputs, attributes)


class Graph:
    """Nodes in the order of computation.  calls: names of the running functions, for the nodes' names"""

    def __init__(self):
        self.nodes, self.inputs, self.parameters, self.constants, self.calls = [], [], {}, {}, []

    def input(self, name, dtype, shape):
        """An input of the graph.  shape: ints, and names of the axes known only at run time"""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        value = Value(self, helper.make_tensor_type_proto(kind, shape), name)
        self.inputs.append(value)
        return value

    def parameter(self, name, array):
        """An array stored in the file, if a node needs it."""
        value = self._stored(name, array)
        self.parameters[name] = value
        return value

    def constant(self, number, dtype):
        """The Value of a number, a list of integers or an array; equal constants share one Value."""
        array = np.array(number, np.int64) if isinstance(number, list) else np.asarray(number)
        if array.ndim == 0 and not isinstance(number, np.ndarray):
            array = array.astype(dtype)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self.constants:
            self.constants[key] = self._stored(f"constant_{len(self.constants)}", array)
        return self.constants[key]

    def _stored(self, name, array):
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        return Value(self, helper.make_tensor_type_proto(kind, array.shape), name, np.array(array, order="C"))

    def add(self, kind, inputs, outputs, attributes):
        names = {id(value): f"v{number}" for number, value in enumerate(inputs)}
        made = [f"out{number}" for number in range(outputs)]
        node = helper.make_node(kind, [names[id(value)] for value in inputs], made, **attributes)
        types = {names[id(value)]: value.type for value in inputs}
        data = {names[id(value)]: numpy_helper.from_array(value.constant) for value in inputs
                if value.constant is not None and value.constant.ndim < 2}
        found = shape_inference.infer_node_outputs(
            defs.get_schema(kind, OPSET), node, types, data, opset_imports=IMPORTS, ir_version=IR_VERSION)
        values = [Value(self, found[name]) for name in made]
        self.nodes.append(Node(kind, tuple(self.calls), inputs, values, attributes))
        return values[0] if outputs == 1 else values

    def model(self, outputs, metadata, overridable=False):
        """The ModelProto with the outputs {name: (Value, shape)} and only the nodes they need.

        overridable: whether a runtime's inputs may replace the file's parameters.
        """
        results = []
        for name, (value, shape) in outputs.items():
            value = value if value.name is None else op("Identity", value)
            value.name = name
            results.append(helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, shape))
        nodes, needed = self._needed(set(outputs))
        stored = [value for value in [*self.parameters.values(), *self.constants.values()] if value in needed]
        given = [*self.inputs, *(self.parameters.values() if overridable else ())]
        inputs = [helper.make_value_info(value.name, value.type) for value in given if value in needed]
        arrays = [numpy_helper.from_array(value.constant, value.name) for value in stored]
        graph = helper.make_graph(nodes, "npcaption", inputs, results, arrays)
        model = helper.make_model(graph, opset_imports=IMPORTS, ir_version=IR_VERSION, producer_name="npcaption")
        helper.set_model_props(model, metadata)
        checker.check_model(model, full_check=True)
        return model

    def _needed(self, names):
        """-> NodeProtos needed for the named values, and the set of the values needed"""
        kept, needed = [], set()
        for node in reversed(self.nodes):
            wanted = [value in needed or value.name in names for value in node.outputs]
            if any(wanted):
                needed.update(node.inputs)
                kept.append((node, wanted))
        protos = []
        for number, (node, wanted) in enumerate(reversed(kept)):
            name = "/".join([*node.path, f"{node.kind}_{number}"])
            for i, value in enumerate(node.outputs):
                value.name = value.name or name + f".{i}" * bool(i)
            last = len(wanted) - wanted[::-1].index(True) if node.kind in OPTIONAL else None
            inputs, outputs = ([value.name for value in values] for values in (node.inputs, node.outputs[:last]))
            protos.append(helper.make_node(node.kind, inputs, outputs, name, **node.attributes))
        return protos, needed
