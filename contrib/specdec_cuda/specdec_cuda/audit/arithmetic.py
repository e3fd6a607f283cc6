"""Whether machine code computes with floating point numbers as IEEE 754 says: the same bits on every GPU.

Only what is known to do so is let through: sums, differences, products and quotients, each rounded by itself to the
nearest number; comparisons and conversions. What is fused or approximate, or takes tiny numbers for zero, is found,
and so is what nobody thought of.
"""

import re
from collections import Counter

_PTX = re.compile(r"^\s+(?:@!?%p\d+ )?([a-z]\w*(?:\.\w+)*\.(?:bf|f)(?:16|32|64)(?:x2)?(?:\.\w+)*)\b", re.MULTILINE)
_PTX_EXACT = re.compile(
    r"(?:add|sub|mul|div)\.rn\.f(?:32|64)(?:x2)?"
    r"|(?:add|sub)\.rn\.f32\.b?f16"  # of which one is converted first, which rounds nothing
    r"|(?:redux\.sync\.)?(?:min|max|abs|neg|mov|selp)(?:\.\w+)*"
    r"|setp\.\w+(?:\.(?:and|or|xor))?\.f\d+"
    r"|cvt\.(?:rn\.|rzi\.)?[a-z]+\d+\.[a-z]+\d+"
)
_AMD = re.compile(r"^\s+((?:v|s|ds|buffer|flat|global)_\w+_(?:bf|f)(?:16|32|64)\w*)\b", re.MULTILINE)
_AMD_EXACT = re.compile(
    r"v_(?:pk_)?(?:add|sub|subrev|mul)_f(?:32|64)"
    r"|v_(?:pk_)?(?:min3?|max3?)_f\d+|v_cmpx?_\w+_f\d+|v_cvt_\w+|v_pack_b32_f16"
    r"|v_ldexp_f64"  # in conversions of long integers
    r"|v_rcp_iflag_f32"  # in divisions of integers, which are put right afterwards
)
_DIVISION = Counter(div_scale=2, rcp=1, fma=5, div_fmas=1, div_fixup=1)
"""What LLVM makes of a quotient of single or double precision, rounded as it should be."""


def nvidia_findings(ptx: str) -> list[str]:
    """List the instructions of PTX that may round otherwise than IEEE 754 says, each once."""
    return sorted({one for one in _PTX.findall(ptx) if not _PTX_EXACT.fullmatch(one)})


def amd_findings(code: str) -> list[str]:
    """List the instructions of AMD's assembly that may do so; what belongs to whole divisions is left out."""
    names = [re.sub(r"_e(?:32|64)(?:_dpp)?$|_dpp$|_sdwa$", "", one) for one in _AMD.findall(code)]
    strange = [one for one in names if not _AMD_EXACT.fullmatch(one)]
    parts = Counter(re.sub(r"^v_|_f(?:32|64)$", "", one).replace("fmac", "fma") for one in strange)
    divisions = parts["div_fixup"]
    if parts == Counter({part: divisions * count for part, count in _DIVISION.items() if divisions}):
        strange = []
    if not re.search(r"\.amdhsa_float_denorm_mode_32 3\b", code):
        strange.append("tiny numbers are zero")
    return sorted(set(strange))
