"""embed.py OUT [IMAGE] - the kernels' machine code as a C array; none where there is no image."""
import sys

data = open(sys.argv[2], "rb").read() if len(sys.argv) > 2 else b""
out = ["/* Made by embed.py. */", '#include "tensor/cuda/image.h"', ""]
out.append("const size_t cuda_image_bytes = %d;" % len(data))
out.append("_Alignas(64) const unsigned char cuda_image[] = {")
out += ["".join(f"{b}," for b in data[at : at + 32]) for at in range(0, len(data), 32)] or ["0"]
out += ["};", ""]
open(sys.argv[1], "w").write("\n".join(out))
