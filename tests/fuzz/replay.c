/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.c: runs a fuzz target over its corpus without a fuzzer, in every ordinary test run.
 *
 *     fuzz_x FILE-or-DIRECTORY…
 *
 * Each input is also given cut short at every length and with each byte flipped (up to
 * MUTATE_MAX bytes of it), always in the same way: a parser's simplest mistakes show here, the rest
 * is a fuzzer's work. Each input is an allocation of its exact size: a sanitizer sees any read
 * beyond its end. No input at all is a failure. @thread main
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

#define MUTATE_MAX 512
#define PATH_LEN   4096

static unsigned long inputs, runs;

static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    runs++;
}

static void run_mutated(uint8_t *data, size_t size)
{
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    size_t most = size < MUTATE_MAX ? size : MUTATE_MAX;

    run(data, size);
    for (size_t i = 0; i < most; i++) {
        run(data, i);
        for (size_t f = 0; f < sizeof(flips); f++) {
            data[i] ^= flips[f];
            run(data, size);
            data[i] ^= flips[f];
        }
    }
}

static int replay_file(const char *path, size_t size)
{
    uint8_t *data = malloc(size ? size : 1);
    FILE *f = fopen(path, "rb");
    size_t got = 0;

    if (!data || !f) {
        perror(path);
        free(data);
        if (f)
            (void)fclose(f);
        return -1;
    }
    got = fread(data, 1, size, f);
    (void)fclose(f);
    run_mutated(data, got);
    free(data);
    inputs++;
    return 0;
}

static int replay(const char *path);

static int replay_directory(const char *path)
{
    char name[PATH_LEN];
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, NULL, alphasort), err = n < 0 ? -1 : 0;

    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            (void)snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
            if (replay(name) < 0)
                err = -1;
        }
        free(entries[i]);
    }
    free((void *)entries);
    return err;
}

static int replay(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        perror(path);
        return -1;
    }
    if (S_ISDIR(st.st_mode))
        return replay_directory(path);
    return replay_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
    int err = 0;

    for (int i = 1; i < argc; i++)
        if (replay(argv[i]) < 0)
            err = 1;
    printf("%lu inputs, %lu runs\n", inputs, runs);
    return inputs == 0 ? 1 : err;
}
