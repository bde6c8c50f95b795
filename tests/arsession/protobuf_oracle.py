"""Objectron's messages through Google's own protobuf library, built from a table of field numbers.

Shares no code with the reader: what it writes is what any protobuf program writes.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

F = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "float": F.TYPE_FLOAT,
    "double": F.TYPE_DOUBLE,
    "int32": F.TYPE_INT32,
    "int64": F.TYPE_INT64,
    "string": F.TYPE_STRING,
    "bool": F.TYPE_BOOL,
}
# message: {field: (number, type, repeated)}; enumerations travel as int32 (same bytes).
MESSAGES = {
    "Vector": {"x": (1, "float", False), "y": (2, "float", False), "z": (3, "float", False)},
    "ARCamera": {
        "tracking_state": (1, "int32", False),
        "tracking_state_reason": (2, "int32", False),
        "transform": (3, "float", True),
        "image_resolution_width": (5, "int32", False),
        "image_resolution_height": (6, "int32", False),
        "intrinsics": (7, "float", True),
        "projection_matrix": (8, "float", True),
        "view_matrix": (9, "float", True),
    },
    "ARPlaneGeometry": {
        "vertices": (1, "Vector", True),
        "boundary_vertices": (7, "Vector", True),
        "boundary_vertex_count": (8, "int32", False),
    },
    "ARPlaneAnchor": {
        "identifier": (1, "string", False),
        "transform": (2, "float", True),
        "alignment": (3, "int32", False),
        "geometry": (4, "ARPlaneGeometry", False),
        "center": (5, "Vector", False),
        "extent": (6, "Vector", False),
    },
    "ARPointCloud": {
        "count": (1, "int32", False),
        "point": (2, "Vector", True),
        "identifier": (3, "int64", True),
    },
    "ARLightEstimate": {"ambient_intensity": (1, "double", False)},
    "ARFrame": {
        "timestamp": (1, "double", False),
        "camera": (4, "ARCamera", False),
        "light_estimate": (5, "ARLightEstimate", False),
        "plane_anchor": (7, "ARPlaneAnchor", True),
        "raw_feature_points": (8, "ARPointCloud", False),
    },
    "KeyPoint": {
        "x": (1, "float", False),
        "y": (2, "float", False),
        "z": (3, "float", False),
        "confidence_radius": (4, "float", False),
        "name": (5, "string", False),
        "hidden": (6, "bool", False),
    },
    "Object": {
        "id": (1, "int32", False),
        "category": (2, "string", False),
        "type": (3, "int32", False),
        "rotation": (4, "float", True),
        "translation": (5, "float", True),
        "scale": (6, "float", True),
        "keypoints": (7, "KeyPoint", True),
        "method": (8, "int32", False),
    },
    "NormalizedPoint2D": {
        "x": (1, "float", False),
        "y": (2, "float", False),
        "depth": (3, "float", False),
    },
    "AnnotatedKeyPoint": {
        "id": (1, "int32", False),
        "point_3d": (2, "Vector", False),
        "point_2d": (3, "NormalizedPoint2D", False),
    },
    "ObjectAnnotation": {
        "object_id": (1, "int32", False),
        "keypoints": (2, "AnnotatedKeyPoint", True),
        "visibility": (3, "float", False),
    },
    "FrameAnnotation": {
        "frame_id": (1, "int32", False),
        "annotations": (2, "ObjectAnnotation", True),
        "camera": (3, "ARCamera", False),
        "timestamp": (4, "double", False),
        "plane_center": (5, "float", True),
        "plane_normal": (6, "float", True),
    },
    "Sequence": {
        "objects": (1, "Object", True),
        "frame_annotations": (2, "FrameAnnotation", True),
    },
}


def message_types(packed: bool = True) -> dict[str, type]:
    """A class a message; its repeated numbers packed or one by one."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"recording_{packed}.proto", package="recording", syntax="proto2"
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            scalar = SCALARS.get(kind)
            added = message.field.add(
                name=field,
                number=number,
                label=F.LABEL_REPEATED if repeated else F.LABEL_OPTIONAL,
                type=scalar or F.TYPE_MESSAGE,
                type_name=None if scalar else f".recording.{kind}",
            )
            if repeated and scalar and kind != "string":
                added.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"recording.{name}"))
        for name in MESSAGES
    }
