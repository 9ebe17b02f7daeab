/* SPDX-License-Identifier: MIT */
/* What a host can give the library, one short example for each service.
 *
 *   host [alloc|tasks|reader|log|clock|limits|progress]
 *
 * Every service is a struct of functions that hangs on the object it serves; nothing is global, so a program
 * can give each model and each session services of its own. Without an argument all examples run. */
#include <slm/slm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The default model, part of the program: see slm/embed_model.py. */
extern const unsigned char slm_default_model[];
extern const unsigned char slm_default_model_end[];

static size_t model_size(void)
{
    return (size_t)(slm_default_model_end - slm_default_model);
}

static slm_status load(const slm_model_options *options, slm_model **model, slm_error *error)
{
    return slm_model_load_memory(slm_default_model, model_size(), options, model, error);
}

/* Writes a few words with a session; returns the status of the last call and counts the steps. */
static slm_status write_words(slm_session *session, uint64_t budget_us, uint32_t *n_steps,
                              slm_error *error)
{
    static const char prompt[] = "Once upon a time";
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    slm_sequence sequence = 0;
    options.max_tokens = 12;
    slm_status status = slm_session_add_sequence(session, &sequence, error);
    if (status == SLM_OK)
        status = slm_session_append_text(session, sequence, prompt, strlen(prompt),
                                         SLM_TEXT_ADD_SPECIAL, error);
    if (status == SLM_OK)
        status = slm_session_generate(session, sequence, &options, error);
    printf("  %s", status == SLM_OK ? prompt : "");
    for (int go_on = status == SLM_OK; go_on; go_on = status == SLM_MORE) {
        slm_event event = SLM_EVENT_INIT;
        status = slm_session_step(session, budget_us, error);
        while (slm_session_get_event(session, &event, NULL) == SLM_OK)
            printf("%.*s", (int)event.text_length, event.text);
        ++*n_steps;
    }
    printf("\n");
    return status;
}

/* ---- alloc: memory that is counted, with a hard budget ------------------------------------------- */

typedef struct memory {
    size_t budget;
    _Atomic size_t live; /* workers may allocate, too */
    _Atomic size_t n_blocks;
} memory;

/* Plain C has no aligned memory everywhere, so a block is cut out of a larger one, which is noted in front of
 * it. An engine would put its own allocator here. */
static void *take(void *ctx, size_t size, size_t alignment)
{
    memory *m = ctx;
    if (atomic_fetch_add(&m->live, size) + size > m->budget) {
        atomic_fetch_sub(&m->live, size);
        return NULL; /* the library turns this into SLM_ERR_OUT_OF_MEMORY, and nothing has changed */
    }
    char *whole = malloc(size + alignment + sizeof(void *));
    if (!whole) {
        atomic_fetch_sub(&m->live, size);
        return NULL;
    }
    uintptr_t at = (uintptr_t)whole + sizeof(void *);
    at = (at + alignment - 1) & ~(uintptr_t)(alignment - 1);
    memcpy((char *)at - sizeof(void *), &whole, sizeof(void *));
    atomic_fetch_add(&m->n_blocks, 1);
    return (void *)at;
}

/* The size comes back with the block, so no header is needed to count. */
static void give_back(void *ctx, void *block, size_t size, size_t alignment)
{
    memory *m = ctx;
    void *whole;
    (void)alignment;
    memcpy(&whole, (char *)block - sizeof(void *), sizeof(void *));
    free(whole);
    atomic_fetch_sub(&m->live, size);
    atomic_fetch_sub(&m->n_blocks, 1);
}

static slm_status show_alloc(slm_error *error)
{
    memory m = { .budget = SIZE_MAX };
    slm_allocator allocator = SLM_ALLOCATOR_INIT;
    slm_host host = SLM_HOST_INIT;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_session_memory needed = SLM_SESSION_MEMORY_INIT;
    slm_model *model = NULL;
    slm_session *session = NULL;
    uint32_t n_steps = 0;
    allocator.ctx = &m;
    allocator.alloc = take;
    allocator.free = give_back;
    host.allocator = &allocator;
    options.host = &host; /* sessions of this model take it over, unless they are given another host */

    slm_status status = load(&options, &model, error);
    if (status == SLM_OK)
        status = slm_session_estimate(model, NULL, &needed, error);
    if (status == SLM_OK) {
        const size_t before = m.live;
        printf("  the model took %zu bytes in %zu blocks; a session needs %llu\n", before,
               (size_t)m.n_blocks, (unsigned long long)needed.total_bytes);
        m.budget = before + (size_t)needed.total_bytes - 1;
        status = slm_session_create(model, NULL, &session, error);
        printf("  with one byte less: %s (%s)\n", slm_status_name(status), error->message);
        m.budget++;
        status = slm_session_create(model, NULL, &session, error);
        printf("  with that: %s, %zu bytes taken\n", slm_status_name(status), m.live - before);
        m.budget += 64 * 1024; /* for encoding the prompt, during the call; steps take nothing */
    }
    if (status == SLM_OK)
        status = write_words(session, 0, &n_steps, error);
    slm_session_release(session);
    slm_model_release(model);
    printf("  after the release: %zu bytes in %zu blocks\n", (size_t)m.live, (size_t)m.n_blocks);
    return status;
}

/* ---- tasks: the host's threads do the work ------------------------------------------------------- */

/* A small job system: a row of jobs, two threads that take them. */
enum { N_JOBS = 64, N_THREADS = 2 };

enum { FREE, QUEUED, RUNNING, DONE };

typedef struct job {
    struct jobs *jobs;
    int state;
    void (*run)(void *task);
    void *task;
} job;

typedef struct jobs {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t threads[N_THREADS];
    job row[N_JOBS];
    int quit;
    uint32_t n_enqueued, n_by_threads, n_by_waiting;
} jobs;

/* Called and left with the lock held, which is open while the job runs. */
static void run_job(jobs *j, job *found)
{
    found->state = RUNNING;
    pthread_mutex_unlock(&j->lock);
    found->run(found->task);
    pthread_mutex_lock(&j->lock);
    found->state = DONE;
    pthread_cond_broadcast(&j->changed);
}

static job *find_job(jobs *j, int state)
{
    for (size_t i = 0; i < N_JOBS; i++)
        if (j->row[i].state == state)
            return &j->row[i];
    return NULL;
}

static void *work(void *ctx)
{
    jobs *j = ctx;
    pthread_mutex_lock(&j->lock);
    while (!j->quit) {
        job *found = find_job(j, QUEUED);
        if (found) {
            j->n_by_threads++;
            run_job(j, found);
        } else {
            pthread_cond_wait(&j->changed, &j->lock);
        }
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

static void *enqueue(void *ctx, void (*run)(void *task), void *task)
{
    jobs *j = ctx;
    pthread_mutex_lock(&j->lock);
    job *place = find_job(j, FREE);
    if (place) { /* or else NULL: it will never be called, which costs speed alone */
        *place = (job){ j, QUEUED, run, task };
        j->n_enqueued++;
        pthread_cond_broadcast(&j->changed);
    }
    pthread_mutex_unlock(&j->lock);
    return place;
}

/* What no thread has begun is done right here, so a busy job system delays nobody. */
static void wait_for(void *ctx, void *handle)
{
    jobs *j = ctx;
    job *mine = handle;
    pthread_mutex_lock(&j->lock);
    if (mine->state == QUEUED) {
        j->n_by_waiting++;
        run_job(j, mine);
    }
    while (mine->state != DONE)
        pthread_cond_wait(&j->changed, &j->lock);
    mine->state = FREE;
    pthread_mutex_unlock(&j->lock);
}

static slm_status show_tasks(slm_error *error)
{
    static jobs j = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    slm_tasks tasks = SLM_TASKS_INIT;
    slm_host host = SLM_HOST_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_model *model = NULL;
    slm_session *session = NULL;
    uint32_t n_steps = 0, n_started = 0;
    tasks.ctx = &j;
    tasks.enqueue = enqueue;
    tasks.wait = wait_for;
    host.tasks = &tasks;
    options.host = &host;
    options.n_threads = N_THREADS + 1; /* so many parts a step is made for, the caller's among them */

    while (n_started < N_THREADS && pthread_create(&j.threads[n_started], NULL, work, &j) == 0)
        n_started++;
    slm_status status = load(NULL, &model, error);
    if (status == SLM_OK)
        status = slm_session_create(model, &options, &session, error);
    if (status == SLM_OK)
        status = write_words(session, 0, &n_steps, error);
    slm_session_release(session);
    slm_model_release(model);
    pthread_mutex_lock(&j.lock);
    j.quit = 1;
    pthread_cond_broadcast(&j.changed);
    pthread_mutex_unlock(&j.lock);
    for (uint32_t i = 0; i < n_started; i++)
        pthread_join(j.threads[i], NULL);
    printf("  %u steps offered %u jobs: %u were done by our %u threads, %u while waiting\n", n_steps,
           j.n_enqueued, j.n_by_threads, n_started, j.n_by_waiting);
    return status;
}

/* ---- reader: a model inside an archive ----------------------------------------------------------- */

/* A file of our own format, in which the model begins somewhere. */
typedef struct archive {
    FILE *file;
    long begin;
    uint32_t n_reads;
} archive;

/* Reads all of what it is asked for or says why not: the load hands the status on. */
static slm_status read_part(void *ctx, uint64_t offset, void *buffer, size_t size)
{
    archive *a = ctx;
    a->n_reads++;
    if (fseek(a->file, a->begin + (long)offset, SEEK_SET) != 0 ||
        fread(buffer, 1, size, a->file) != size)
        return SLM_ERR_IO;
    return SLM_OK;
}

static slm_status show_reader(slm_error *error)
{
    static const char path[] = "host-example.pak", head[] = "PAK1 a picture, a sound, and then ";
    archive a = { fopen(path, "w+b"), (long)strlen(head), 0 };
    slm_reader reader = SLM_READER_INIT;
    slm_model *model = NULL;
    slm_model_info info = SLM_MODEL_INFO_INIT;
    slm_status status = SLM_ERR_IO;
    reader.size = model_size();
    reader.ctx = &a;
    reader.read = read_part;
    if (a.file && fwrite(head, 1, strlen(head), a.file) == strlen(head) &&
        fwrite(slm_default_model, 1, model_size(), a.file) == model_size() && fflush(a.file) == 0)
        status = slm_model_load_reader(&reader, NULL, &model, error);
    if (status == SLM_OK)
        status = slm_model_get_info(model, &info, error);
    printf("  read '%s' (%llu bytes) from byte %ld of %s in %u pieces: %s\n", info.name ? info.name : "",
           (unsigned long long)info.file_bytes, a.begin, path, a.n_reads, slm_status_name(status));
    slm_model_release(model);
    if (a.file)
        fclose(a.file);
    remove(path);
    return status;
}

/* ---- log: what the library has to say ------------------------------------------------------------ */

/* Without a sink nothing is logged: the library itself never prints. */
static void print_line(void *ctx, uint32_t level, const char *line)
{
    ++*(uint32_t *)ctx;
    printf("  [%s] %s\n", level == SLM_LOG_WARNING ? "warning" : "info", line);
}

static slm_status show_log(slm_error *error)
{
    uint32_t n_lines = 0;
    slm_host host = SLM_HOST_INIT;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_model *model = NULL;
    slm_session *session = NULL;
    host.log_ctx = &n_lines;
    host.log = print_line;
    options.host = &host;
    slm_status status = load(&options, &model, error);
    if (status == SLM_OK)
        status = slm_session_create(model, NULL, &session, error); /* it has the model's host */
    slm_session_release(session);
    slm_model_release(model);
    printf("  %u lines\n", n_lines);
    return status;
}

/* ---- clock: budgets by the host's time ----------------------------------------------------------- */

/* A clock of turns instead of time: each look at it is a tenth of a millisecond. By such a clock a step does
 * the same work in a replay as in the game, on a fast machine and on a slow one. Workers ask it, too. */
static uint64_t count_looks(void *ctx)
{
    return atomic_fetch_add((_Atomic uint64_t *)ctx, 1) * 100000u;
}

static slm_status show_clock(slm_error *error)
{
    _Atomic uint64_t n_looks = 0;
    slm_host host = SLM_HOST_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_model *model = NULL;
    slm_session *session = NULL;
    uint32_t n_steps = 0;
    host.clock_ctx = &n_looks;
    host.clock = count_looks;
    options.host = &host;
    options.n_threads = 1;
    slm_status status = load(NULL, &model, error);
    if (status == SLM_OK)
        status = slm_session_create(model, &options, &session, error);
    if (status == SLM_OK)
        status = write_words(session, 2000, &n_steps, error); /* the budget: twenty looks */
    printf("  %u steps, %llu looks at the clock\n", n_steps, (unsigned long long)n_looks);
    slm_session_release(session);
    slm_model_release(model);
    return status;
}

/* ---- limits: files from strangers ---------------------------------------------------------------- */

/* Any file is checked, limits or not; these also keep a right but huge one from taking what it likes. */
static slm_status show_limits(slm_error *error)
{
    slm_model_options few = SLM_MODEL_OPTIONS_INIT, small = SLM_MODEL_OPTIONS_INIT;
    slm_model *model = NULL;
    few.max_tensors = 10;
    small.max_memory_bytes = 1000000;
    slm_status status = load(&few, &model, error);
    if (status == SLM_ERR_LIMIT)
        printf("  max_tensors = 10: %s at byte %llu: %s\n", slm_status_name(status),
               (unsigned long long)error->offset, error->message);
    if (status == SLM_ERR_LIMIT)
        status = load(&small, &model, error);
    if (status == SLM_ERR_BUDGET)
        printf("  max_memory_bytes = 1 MB: %s: %s\n", slm_status_name(status), error->message);
    slm_model_release(model); /* NULL after an error */
    return status == SLM_ERR_BUDGET ? SLM_OK : status;
}

/* ---- progress: a bar, and a way out -------------------------------------------------------------- */

typedef struct bar {
    float until; /* cancel from here on */
    float last;
    uint32_t n_calls;
} bar;

static int32_t advance_bar(void *ctx, float done)
{
    bar *b = ctx;
    b->last = done;
    b->n_calls++;
    return done >= b->until; /* anything but 0 cancels */
}

static slm_status show_progress(slm_error *error)
{
    bar whole = { 2.0f, 0.0f, 0 }, half = { 0.5f, 0.0f, 0 };
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_model *model = NULL;
    options.progress = advance_bar;
    options.progress_ctx = &half;
    slm_status status = load(&options, &model, error);
    printf("  cancelled at %.0f %%: %s, %s\n", 100.0 * (double)half.last, slm_status_name(status),
           model ? "a model" : "no model");
    if (status == SLM_CANCELLED) {
        options.progress_ctx = &whole;
        status = load(&options, &model, error);
        printf("  loaded to %.0f %% in %u calls: %s\n", 100.0 * (double)whole.last, whole.n_calls,
               slm_status_name(status));
    }
    slm_model_release(model);
    return status;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        slm_status (*show)(slm_error *error);
    } examples[] = {
        { "alloc", show_alloc }, { "tasks", show_tasks },   { "reader", show_reader },
        { "log", show_log },     { "clock", show_clock },   { "limits", show_limits },
        { "progress", show_progress },
    };
    int n_shown = 0, n_failed = 0;
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        slm_error error = SLM_ERROR_INIT;
        if (argc > 1 && strcmp(argv[1], examples[i].name) != 0)
            continue;
        printf("%s:\n", examples[i].name);
        n_shown++;
        if (examples[i].show(&error) < 0) {
            n_failed++;
            fprintf(stderr, "host: %s: %s\n", examples[i].name, error.message);
        }
    }
    if (n_shown == 0)
        fputs("usage: host [alloc|tasks|reader|log|clock|limits|progress]\n", stderr);
    return n_shown == 0 ? 2 : n_failed > 0;
}
