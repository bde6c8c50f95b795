"""The description that MediaPipe Tasks wants inside a `.tflite` file.

A buffer named TFLITE_METADATA holds a flatbuffer of its own (schema: metadata_schema.fbs of
TensorFlow Lite Support, identifier M001). What is written here is what a landmark model needs: an
RGB picture, how its bytes become the model's numbers, and the outputs' names. Slot numbers below
are the fields' places in the schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

NAME = "TFLITE_METADATA"
IDENTIFIER = b"M001"
_BUFFER_ALIGNMENT = 16  # force_align of Buffer.data in the TFLite schema
_RGB = 1  # ColorSpaceType
_IMAGE_PROPERTIES, _NORMALIZATION_OPTIONS = 2, 1  # union members
_MIN_PARSER_VERSION = "1.0.0"


def with_metadata(
    tflite: bytes, name: str, description: str, outputs: Mapping[str, str], mean: float, std: float
) -> bytes:
    """The model with metadata inside; its operators and weights stay as they are.

    Args:
        tflite: a model of one picture.
        name, description: of the model.
        outputs: name -> description, in the model's order.
        mean, std: the model takes (value - mean) / std of a picture's values 0..255.
    """
    # litert_converter brings the generated code of the TFLite schema.
    from litert_converter import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(tflite), 0)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(
        metadata_bytes(name, description, outputs, mean, std), dtype=np.uint8
    )
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    builder = _AlignedBuilder(len(tflite) + 65536)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def metadata_bytes(
    name: str, description: str, outputs: Mapping[str, str], mean: float, std: float
) -> bytes:
    """The metadata flatbuffer itself; arguments as for `with_metadata`."""
    builder = flatbuffers.Builder(1024)
    image = _table(builder, {0: ("int8", _RGB)})
    content = _table(builder, {0: ("uint8", _IMAGE_PROPERTIES), 1: ("offset", image)})
    options = _table(
        builder, {0: ("offset", _floats(builder, [mean])), 1: ("offset", _floats(builder, [std]))}
    )
    unit = _table(builder, {0: ("uint8", _NORMALIZATION_OPTIONS), 1: ("offset", options)})
    low, high = (0 - mean) / std, (255 - mean) / std
    stats = _table(
        builder, {0: ("offset", _floats(builder, [high])), 1: ("offset", _floats(builder, [low]))}
    )
    picture = _tensor(
        builder,
        "image",
        "The crop, RGB.",
        {
            3: ("offset", content),
            4: ("offset", _offsets(builder, [unit])),
            5: ("offset", stats),
        },
    )
    answers = [_tensor(builder, key, text, {}) for key, text in outputs.items()]
    subgraph = _table(
        builder,
        {2: ("offset", _offsets(builder, [picture])), 3: ("offset", _offsets(builder, answers))},
    )
    root = _table(
        builder,
        {
            0: ("offset", builder.CreateString(name)),
            1: ("offset", builder.CreateString(description)),
            3: ("offset", _offsets(builder, [subgraph])),
            7: ("offset", builder.CreateString(_MIN_PARSER_VERSION)),
        },
    )
    builder.Finish(root, file_identifier=IDENTIFIER)
    return bytes(builder.Output())


class _AlignedBuilder(flatbuffers.Builder):
    """A builder that keeps weights where they can be used in place."""

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802
        """As the base class, but byte vectors begin at a multiple of 16."""
        if x.dtype != np.uint8:
            return int(super().CreateNumpyVector(x))
        self.StartVector(1, x.size, _BUFFER_ALIGNMENT)
        self.head -= x.size
        self.Bytes[self.head : self.head + x.size] = x.tobytes()
        self.vectorNumElems = x.size
        return int(self.EndVector())


def _table(builder: flatbuffers.Builder, fields: Mapping[int, tuple[str, int]]) -> int:
    builder.StartObject(max(fields) + 1)
    for slot, (kind, value) in fields.items():
        if kind == "offset":
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        elif kind == "uint8":
            builder.PrependUint8Slot(slot, value, 0)
        else:
            builder.PrependInt8Slot(slot, value, 0)
    return int(builder.EndObject())


def _tensor(
    builder: flatbuffers.Builder,
    name: str,
    description: str,
    fields: Mapping[int, tuple[str, int]],
) -> int:
    texts = {
        0: ("offset", builder.CreateString(name)),
        1: ("offset", builder.CreateString(description)),
    }
    return _table(builder, {**texts, **fields})


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    return int(builder.CreateNumpyVector(np.array(values, dtype=np.float32)))


def _offsets(builder: flatbuffers.Builder, values: Sequence[int]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependUOffsetTRelative(value)
    return int(builder.EndVector())
