from numpy import float32, uint8
from numpy.typing import NDArray

def available() -> bool: ...
def crop_into(
    image: NDArray[uint8],
    region: tuple[float, float, float, float, float],
    out: NDArray[float32],
    zero: bool,
    factor: float,
    /,
) -> bool: ...
