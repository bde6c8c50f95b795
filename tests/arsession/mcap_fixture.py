"""An MCAP file as a phone's recorder writes it: the container by the mcap package, the messages'
CDR bytes by hand. Shares no code with the reader."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from mcap.writer import CompressionType, Writer

from tests.arsession import recordings as r

HEADER = "std_msgs/Header header\n"
DEFINITIONS = {
    "std_msgs/Header": "builtin_interfaces/Time stamp\nstring frame_id\n",
    "builtin_interfaces/Time": "int32 sec\nuint32 nanosec\n",
    "geometry_msgs/Point": "float64 x\nfloat64 y\nfloat64 z\n",
    "geometry_msgs/Vector3": "float64 x\nfloat64 y\nfloat64 z\n",
    "geometry_msgs/Quaternion": "float64 x 0\nfloat64 y 0\nfloat64 z 0\nfloat64 w 1\n",
    "geometry_msgs/Pose": "Point position\nQuaternion orientation\n",
    "geometry_msgs/Transform": "Vector3 translation\nQuaternion rotation\n",
    "geometry_msgs/TransformStamped": HEADER + "string child_frame_id\nTransform transform\n",
    "sensor_msgs/PointField": "uint8 INT8=1\nuint8 FLOAT32 = 7 # four bytes\nstring name\n"
    "uint32 offset\nuint8 datatype\nuint32 count\n",
    "sensor_msgs/RegionOfInterest": "uint32 x_offset\nbool do_rectify\n",
}
ROOTS = {
    "geometry_msgs/msg/PoseStamped": HEADER + "geometry_msgs/Pose pose\n",
    "sensor_msgs/msg/CompressedImage": HEADER + "string format\nuint8[] data\n",
    "sensor_msgs/msg/Image": HEADER + "uint32 height\nuint32 width\nstring encoding\n"
    "uint8 is_bigendian\nuint32 step\nuint8[] data\n",
    "sensor_msgs/msg/CameraInfo": HEADER + "uint32 height\nuint32 width\nstring distortion_model\n"
    "float64[] d\nfloat64[9] k\nfloat64[9] r\nfloat64[12] p\nuint32 binning_x\n"
    "RegionOfInterest roi\n",
    "sensor_msgs/msg/PointCloud2": HEADER + "uint32 height\nuint32 width\nPointField[] fields\n"
    "bool is_bigendian\nuint32 point_step\nuint32 row_step\nuint8[] data\nbool is_dense\n",
    "tf2_msgs/msg/TFMessage": "geometry_msgs/msg/TransformStamped[] transforms\n",
    "recorder_msgs/msg/TrackingState": HEADER + "uint8 state\nuint8 reason\nstring state_str\n"
    "string<=64 reason_str\n",
}


class Cdr:
    def __init__(self) -> None:
        self.data = bytearray(b"\x00\x01\x00\x00")

    def put(self, letter: str, *values) -> Cdr:
        size = struct.calcsize(letter)
        for value in values:
            self.data += bytes(-(len(self.data) - 4) % size) + struct.pack("<" + letter, value)
        return self

    def text(self, value: str) -> Cdr:
        self.put("I", len(value) + 1)
        self.data += value.encode() + b"\0"
        return self

    def raw(self, value: bytes) -> Cdr:
        self.put("I", len(value))
        self.data += value
        return self

    def header(self, seconds: float, frame: str) -> Cdr:
        sec = int(seconds)
        return self.put("i", sec).put("I", round((seconds - sec) * 1e9)).text(frame)


def link(phone: r.Phone) -> np.ndarray:
    """The link's x forward, y up, z right."""
    matrix = np.eye(4)
    matrix[:3] = np.stack([-phone.back, phone.top, phone.right, phone.place], axis=1)
    return matrix


def mcap(
    folder: Path,
    compression: CompressionType = CompressionType.ZSTD,
    with_tf: bool = True,
    pose_shift_s: float = 0.0,
) -> r.Scene:
    file = folder / "recording.mcap"
    with file.open("wb") as stream:
        writer = Writer(stream, chunk_size=20_000, compression=compression)
        writer.start()
        rule = "=" * 80 + "\n"
        extra = "".join(f"{rule}MSG: {name}\n{text}" for name, text in DEFINITIONS.items())
        channels = {}
        for name, text in ROOTS.items():
            schema = writer.register_schema(name, "ros2msg", (text + extra).encode())
            topic = {
                "PoseStamped": "/camera/pose",
                "CompressedImage": "/camera/rgb/compressed",
                "Image": "/camera/depth",
                "CameraInfo": "/camera/camera_info",
                "PointCloud2": "/map/point_cloud",
                "TFMessage": "/tf",
                "TrackingState": "/camera/tracking_state",
            }[name.rsplit("/", 1)[1]]
            channels[topic] = writer.register_channel(topic, "cdr", schema)

        def add(topic: str, seconds: float, cdr: Cdr) -> None:
            nanoseconds = round(seconds * 1e9)
            writer.add_message(channels[topic], nanoseconds, bytes(cdr.data), nanoseconds)

        optical_in_link = np.array([[0.0, 0, 1], [0, -1, 0], [1, 0, 0]])
        if with_tf:
            tf = Cdr().put("I", 1).header(r.TIME_0, "camera_link").text("camera_optical_frame")
            add("/tf", r.TIME_0, tf.put("d", 0, 0, 0, *r.quaternion_xyzw(optical_in_link)))
        for i, phone in enumerate(r.phones()):
            seconds = r.TIME_0 + r.STEP * i
            pose = link(phone)
            cdr = Cdr().header(seconds + pose_shift_s, "world")
            add("/camera/pose", seconds, cdr.put("d", *pose[:3, 3], *r.quaternion_xyzw(pose)))
            cdr = Cdr().header(seconds, "camera_optical_frame").text("jpeg").raw(r.jpeg(phone))
            add("/camera/rgb/compressed", seconds, cdr)
            depth = np.zeros((24, 32), np.float32)
            depth[3, 5] = 1.5
            cdr = Cdr().header(seconds, "o").put("I", 24, 32).text("32FC1").put("B", 0)
            add("/camera/depth", seconds, cdr.put("I", 128).raw(depth.tobytes()))
            cdr = Cdr().header(seconds, "o").put("I", r.HEIGHT, r.WIDTH).text("plumb_bob")
            cdr.put("I", 5).put("d", *[0.0] * 5)
            cdr.put("d", r.FX, 0, r.CX, 0, r.FY, r.CY, 0, 0, 1)
            add("/camera/camera_info", seconds, cdr.put("d", *np.eye(3).ravel(), *[0.0] * 12)
                .put("I", 0, 0).put("B", 0))  # fmt: skip
            state = "normal" if i else "limited"
            cdr = Cdr().header(seconds, "o").put("B", 2, 0).text(state).text("none")
            add("/camera/tracking_state", seconds, cdr)
        cloud = Cdr().header(r.TIME_0, "world").put("I", 1, len(r.POINTS)).put("I", 3)
        for k, name in enumerate("xyz"):
            cloud.text(name).put("I", 4 * k).put("B", 7).put("I", 1)
        cloud.put("B", 0).put("I", 16, 16 * len(r.POINTS))
        rows = np.concatenate([r.POINTS, np.zeros((len(r.POINTS), 1))], axis=1).astype("<f4")
        add("/map/point_cloud", r.TIME_0 + 1, cloud.raw(rows.tobytes()).put("B", 1))
        writer.finish()
    return r.Scene(file, "+y", r.y_up, "mcap")
