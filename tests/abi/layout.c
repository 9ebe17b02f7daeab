/* SPDX-License-Identifier: MIT */
/* Prints size and members of every public struct; layout.txt holds what 64-bit systems must print. */
#include <stdio.h>

#include "slm/slm.h"

#define STRUCT(type) printf("%s %zu\n", #type, sizeof(type))
#define MEMBER(type, member)                                                           \
    printf("    %s %zu %zu\n", #member, offsetof(type, member), sizeof(((type *)0)->member))

static void print_base(void)
{
    STRUCT(slm_error);
    MEMBER(slm_error, struct_size);
    MEMBER(slm_error, code);
    MEMBER(slm_error, offset);
    MEMBER(slm_error, message);
    STRUCT(slm_allocator);
    MEMBER(slm_allocator, struct_size);
    MEMBER(slm_allocator, reserved0);
    MEMBER(slm_allocator, ctx);
    MEMBER(slm_allocator, alloc);
    MEMBER(slm_allocator, free);
    STRUCT(slm_tasks);
    MEMBER(slm_tasks, struct_size);
    MEMBER(slm_tasks, reserved0);
    MEMBER(slm_tasks, ctx);
    MEMBER(slm_tasks, enqueue);
    MEMBER(slm_tasks, wait);
    STRUCT(slm_host);
    MEMBER(slm_host, struct_size);
    MEMBER(slm_host, reserved0);
    MEMBER(slm_host, allocator);
    MEMBER(slm_host, log_ctx);
    MEMBER(slm_host, log);
    MEMBER(slm_host, clock_ctx);
    MEMBER(slm_host, clock);
    MEMBER(slm_host, tasks);
}

static void print_model(void)
{
    STRUCT(slm_reader);
    MEMBER(slm_reader, struct_size);
    MEMBER(slm_reader, reserved0);
    MEMBER(slm_reader, size);
    MEMBER(slm_reader, ctx);
    MEMBER(slm_reader, read);
    STRUCT(slm_model_options);
    MEMBER(slm_model_options, struct_size);
    MEMBER(slm_model_options, n_threads);
    MEMBER(slm_model_options, max_tensors);
    MEMBER(slm_model_options, max_string_bytes);
    MEMBER(slm_model_options, max_memory_bytes);
    MEMBER(slm_model_options, host);
    MEMBER(slm_model_options, progress_ctx);
    MEMBER(slm_model_options, progress);
    MEMBER(slm_model_options, reserved0);
    STRUCT(slm_model_info);
    MEMBER(slm_model_info, struct_size);
    MEMBER(slm_model_info, n_layers);
    MEMBER(slm_model_info, width);
    MEMBER(slm_model_info, n_heads);
    MEMBER(slm_model_info, n_kv_heads);
    MEMBER(slm_model_info, head_width);
    MEMBER(slm_model_info, ffn_width);
    MEMBER(slm_model_info, n_vocab);
    MEMBER(slm_model_info, context_length);
    MEMBER(slm_model_info, n_tensors);
    MEMBER(slm_model_info, n_parameters);
    MEMBER(slm_model_info, file_bytes);
    MEMBER(slm_model_info, weight_bytes);
    MEMBER(slm_model_info, memory_bytes);
    MEMBER(slm_model_info, architecture);
    MEMBER(slm_model_info, name);
    STRUCT(slm_tensor_info);
    MEMBER(slm_tensor_info, struct_size);
    MEMBER(slm_tensor_info, n_dims);
    MEMBER(slm_tensor_info, dims);
    MEMBER(slm_tensor_info, bytes);
    MEMBER(slm_tensor_info, name);
    MEMBER(slm_tensor_info, type);
}

static void print_tokenizer(void)
{
    STRUCT(slm_tokenizer_info);
    MEMBER(slm_tokenizer_info, struct_size);
    MEMBER(slm_tokenizer_info, n_vocab);
    MEMBER(slm_tokenizer_info, bos);
    MEMBER(slm_tokenizer_info, eos);
    MEMBER(slm_tokenizer_info, eot);
    MEMBER(slm_tokenizer_info, unk);
    MEMBER(slm_tokenizer_info, adds_bos);
    MEMBER(slm_tokenizer_info, adds_eos);
    MEMBER(slm_tokenizer_info, kind);
    MEMBER(slm_tokenizer_info, pre);
}

static void print_sampler(void)
{
    STRUCT(slm_param_info);
    MEMBER(slm_param_info, struct_size);
    MEMBER(slm_param_info, type);
    MEMBER(slm_param_info, minimum);
    MEMBER(slm_param_info, maximum);
    MEMBER(slm_param_info, default_value);
    MEMBER(slm_param_info, name);
    MEMBER(slm_param_info, reserved0);
}

static void print_session(void)
{
    STRUCT(slm_session_options);
    MEMBER(slm_session_options, struct_size);
    MEMBER(slm_session_options, n_threads);
    MEMBER(slm_session_options, context_length);
    MEMBER(slm_session_options, n_sequences);
    MEMBER(slm_session_options, pool_tokens);
    MEMBER(slm_session_options, batch_tokens);
    MEMBER(slm_session_options, logit_rows);
    MEMBER(slm_session_options, kv_type);
    MEMBER(slm_session_options, cpu_level);
    MEMBER(slm_session_options, top_logprobs);
    MEMBER(slm_session_options, max_memory_bytes);
    MEMBER(slm_session_options, host);
    MEMBER(slm_session_options, reserved0);
    STRUCT(slm_session_memory);
    MEMBER(slm_session_memory, struct_size);
    MEMBER(slm_session_memory, n_pages);
    MEMBER(slm_session_memory, total_bytes);
    MEMBER(slm_session_memory, kv_bytes);
    MEMBER(slm_session_memory, scratch_bytes);
    MEMBER(slm_session_memory, logit_bytes);
    MEMBER(slm_session_memory, page_bytes);
    STRUCT(slm_generate_options);
    MEMBER(slm_generate_options, struct_size);
    MEMBER(slm_generate_options, max_tokens);
    MEMBER(slm_generate_options, flags);
    MEMBER(slm_generate_options, n_top);
    MEMBER(slm_generate_options, stop);
    MEMBER(slm_generate_options, n_stop);
    MEMBER(slm_generate_options, reserved0);
    STRUCT(slm_event);
    MEMBER(slm_event, struct_size);
    MEMBER(slm_event, type);
    MEMBER(slm_event, sequence);
    MEMBER(slm_event, position);
    MEMBER(slm_event, token);
    MEMBER(slm_event, text);
    MEMBER(slm_event, text_length);
    MEMBER(slm_event, logprob);
    MEMBER(slm_event, n_top);
    MEMBER(slm_event, top_tokens);
    MEMBER(slm_event, top_logprobs);
    MEMBER(slm_event, logits);
    MEMBER(slm_event, reserved0);
    MEMBER(slm_event, n_logits);
    MEMBER(slm_event, reason);
    MEMBER(slm_event, status);
    MEMBER(slm_event, n_generated);
    MEMBER(slm_event, n_removed);
    MEMBER(slm_event, reserved1);
    STRUCT(slm_sequence_info);
    MEMBER(slm_sequence_info, struct_size);
    MEMBER(slm_sequence_info, n_tokens);
    MEMBER(slm_sequence_info, n_computed);
    MEMBER(slm_sequence_info, is_generating);
    MEMBER(slm_sequence_info, tokens);
    MEMBER(slm_sequence_info, n_pages);
    MEMBER(slm_sequence_info, n_prefix_tokens);
}

static void print_prefix(void)
{
    STRUCT(slm_prefix_info);
    MEMBER(slm_prefix_info, struct_size);
    MEMBER(slm_prefix_info, n_tokens);
    MEMBER(slm_prefix_info, kv_type);
    MEMBER(slm_prefix_info, reserved0);
    MEMBER(slm_prefix_info, memory_bytes);
    MEMBER(slm_prefix_info, name);
    MEMBER(slm_prefix_info, tokens);
}

static void print_saved(void)
{
    STRUCT(slm_save_options);
    MEMBER(slm_save_options, struct_size);
    MEMBER(slm_save_options, form);
    MEMBER(slm_save_options, whole);
    MEMBER(slm_save_options, reserved0);
    STRUCT(slm_saved_info);
    MEMBER(slm_saved_info, struct_size);
    MEMBER(slm_saved_info, format);
    MEMBER(slm_saved_info, kv_type);
    MEMBER(slm_saved_info, n_tokens);
    MEMBER(slm_saved_info, n_cached);
    MEMBER(slm_saved_info, n_prefix_tokens);
    MEMBER(slm_saved_info, model);
    MEMBER(slm_saved_info, prefix);
}

static void print_chat(void)
{
    STRUCT(slm_chat_message);
    MEMBER(slm_chat_message, role);
    MEMBER(slm_chat_message, content);
    MEMBER(slm_chat_message, content_length);
}

int main(void)
{
    print_base();
    print_model();
    print_tokenizer();
    print_sampler();
    print_session();
    print_prefix();
    print_saved();
    print_chat();
    return 0;
}
