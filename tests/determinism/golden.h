/* SPDX-License-Identifier: MIT */
/* Hashes of numerics version 1: family, weight type, cache type, hash as check_determinism prints it. */
    { "llama", TINY_F32, SLM_KV_F16, UINT64_C(0x4f020d3be64a7bed) },
    { "llama", TINY_F32, SLM_KV_F32, UINT64_C(0x59e1caff5704f2d7) },
    { "llama", TINY_Q8_0, SLM_KV_F16, UINT64_C(0x74490f8876bb0ee3) },
    { "llama", TINY_Q4_K, SLM_KV_F16, UINT64_C(0x18b27c0afd628c13) },
    { "llama", TINY_Q6_K, SLM_KV_F32, UINT64_C(0x5fc4052a5729e320) },
    { "qwen2", TINY_F16, SLM_KV_F16, UINT64_C(0xeafbdbd1a4463568) },
    { "qwen2", TINY_Q4_0, SLM_KV_F16, UINT64_C(0x1e1e40fc8df0c390) },
    { "qwen3", TINY_Q8_0, SLM_KV_F32, UINT64_C(0x2c3d4d61b27d20f3) },
    { "qwen3", TINY_BF16, SLM_KV_F16, UINT64_C(0x5be1aa61cd0a6ed9) },
