/* SPDX-License-Identifier: MIT */
/* A conversation: chat MODEL.gguf reads lines, answers each, and keeps what was said as one sequence. */
#include <slm/slm.h>
#include <stdio.h>
#include <string.h>

/* Writes the answer as it comes. */
static slm_status print_answer(slm_session *session, slm_error *error)
{
    slm_event event = SLM_EVENT_INIT;
    slm_status status;
    do {
        status = slm_session_step(session, 0, error);
        while (slm_session_get_event(session, &event, NULL) == SLM_OK)
            fwrite(event.text, 1, event.text_length, stdout);
        fflush(stdout);
    } while (status == SLM_MORE);
    putchar('\n');
    return status;
}

/* One turn. `flags` is 0 for the first one and SLM_CHAT_CONTINUE for all others: the sequence holds what
 * was said before, so only the new message is encoded, appended and computed. It must then end with the
 * model's end-of-turn token, so an answer is not cut: it runs to its end, or until the context is full,
 * which also ends the conversation. */
static slm_status take_turn(slm_session *session, slm_sequence sequence, const char *line,
                            uint32_t flags, slm_error *error)
{
    const slm_chat_message message = { "user", line, strlen(line) };
    int32_t ids[4096];
    size_t n_ids = 0;

    slm_status status = slm_chat_encode(slm_session_get_model(session), &message, 1,
                                        flags | SLM_CHAT_ADD_GENERATION_PROMPT, ids,
                                        sizeof ids / sizeof ids[0], &n_ids, error);
    if (status == SLM_OK)
        status = slm_session_append(session, sequence, ids, n_ids, 0, error);
    if (status == SLM_OK)
        status = slm_session_generate(session, sequence, NULL, error);
    return status == SLM_OK ? print_answer(session, error) : status;
}

int main(int argc, char **argv)
{
    slm_error error = SLM_ERROR_INIT;
    slm_model *model = NULL;
    slm_session *session = NULL;
    slm_sequence sequence = 0;
    char line[2048];

    slm_status status =
        slm_model_load(argc > 1 ? argv[1] : "storyteller.gguf", NULL, &model, &error);
    if (status == SLM_OK)
        status = slm_session_create(model, NULL, &session, &error);
    if (status == SLM_OK)
        status = slm_session_add_sequence(session, &sequence, &error);

    uint32_t flags = 0;
    while (status == SLM_OK && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = '\0';
        status = take_turn(session, sequence, line, flags, &error);
        flags = SLM_CHAT_CONTINUE;
    }
    if (status < 0)
        fprintf(stderr, "chat: %s\n", error.message);
    slm_session_release(session);
    slm_model_release(model);
    return status < 0;
}
