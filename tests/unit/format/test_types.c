/* SPDX-License-Identifier: MIT */
/* The table of types is the kernels' own; a view never leaves the file, whatever is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format/gguf_types.h"
#include "kernels/panel.h"

static void types_agree_with_kernels(void **state)
{
    (void)state;
    uint32_t n = 0;
    for (uint32_t file_type = 0; file_type < 64; file_type++) {
        const slmi_gguf_type *type = slmi_gguf_type_find(file_type);
        if (type != NULL && type->type >= 0) {
            assert_string_equal(type->name, slmk_types[type->type].name);
            assert_int_equal(256 / type->block * type->bytes, slmk_row_size(type->type, 256));
            n++;
        }
    }
    assert_int_equal(n, SLMK_N_TYPES);
}

static void views_stay_inside(void **state)
{
    (void)state;
    slmi_source source;
    slm_error err = SLM_ERROR_INIT;
    const uint8_t byte = 0;
    const uint8_t *bytes;
    assert_int_equal(slmi_source_open_memory(&source, &byte, 1, NULL), SLM_OK);
    assert_int_equal(slmi_source_view(&source, 1, 1, NULL, &bytes, &err), SLM_ERR_TRUNCATED);
    assert_int_equal(err.offset, 1);
    assert_int_equal(slmi_source_view(&source, UINT64_MAX, 2, NULL, &bytes, &err), SLM_ERR_TRUNCATED);
    slmi_source_close(&source);
    slmi_source_close(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_agree_with_kernels),
        cmocka_unit_test(views_stay_inside),
    };
    return cmocka_run_group_tests_name("format types", tests, NULL, NULL);
}
