/* SPDX-License-Identifier: MIT */
/* What check.py has to find: vmovaps %ymm0, 32(%rsp), as bytes so that no assembler mends it. */
    .text
    .globl aligned_move
aligned_move:
    .byte 0xC5, 0xFC, 0x29, 0x44, 0x24, 0x20
    ret
