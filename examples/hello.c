/* SPDX-License-Identifier: MIT */
/* The shortest complete program: hello MODEL.gguf [PROMPT] writes on from the prompt. */
#include <slm/slm.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "storyteller.gguf";
    const char *prompt = argc > 2 ? argv[2] : "Once upon a time";
    slm_error error = SLM_ERROR_INIT;
    slm_model *model = NULL;     /* the weights: read-only, shared by any number of sessions */
    slm_session *session = NULL; /* the model at work: threads, memory, sequences */
    slm_sequence sequence = 0;   /* one text in it */

    if (slm_model_load(path, NULL, &model, &error) < 0 ||
        slm_session_create(model, NULL, &session, &error) < 0 ||
        slm_session_add_sequence(session, &sequence, &error) < 0 ||
        slm_session_append_text(session, sequence, prompt, strlen(prompt), SLM_TEXT_ADD_SPECIAL,
                                &error) < 0 ||
        slm_session_generate(session, sequence, NULL, &error) < 0)
        goto end;

    fputs(prompt, stdout); /* then each step computes some tokens and hands over their text */
    slm_event event = SLM_EVENT_INIT;
    for (slm_status status = SLM_MORE; status == SLM_MORE;) {
        status = slm_session_step(session, 0, &error);
        while (slm_session_get_event(session, &event, NULL) == SLM_OK)
            fwrite(event.text, 1, event.text_length, stdout);
        fflush(stdout);
    }
    puts("");
end:
    if (error.code < 0)
        fprintf(stderr, "hello: %s\n", error.message);
    slm_session_release(session);
    slm_model_release(model);
    return error.code < 0;
}
