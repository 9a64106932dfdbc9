/* $title, as C: see $stem.h. */
#include "$stem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif
$needs
/* ---- kernels: each computes the part lo:hi of its outer loop, with a workspace for every thread ---- */

$kernels
/* ---- memory ---- */

${constants}struct $stem {
    char *block, *workspace;
    long threads;
$members};

$stem *${stem}_create($parameter) {
    $stem *graph = calloc(1, sizeof *graph);
    if (!graph) return 0;
    graph->threads = 1;
#ifdef _OPENMP
    graph->threads = omp_get_max_threads();
#endif
    graph->block = aligned_alloc($alignment, $block);
    graph->workspace = aligned_alloc($alignment, graph->threads * $workspace);
    if (!graph->block || !graph->workspace) {
        ${stem}_free(graph);
        return 0;
    }
    memset(graph->block, 0, $block);
$read$places    return graph;
}

void ${stem}_free($stem *graph) {
    if (!graph) return;
    free(graph->block);
    free(graph->workspace);
    free(graph);
}

/* ---- the graph ---- */

typedef void ${stem}_kernel(void *const *buffers, const long *variables, long lo, long hi, char *workspace);

static void ${stem}_launch($stem *graph, ${stem}_kernel *function, long extent, void *const *buffers,
                          const long *variables) {
    long threads = extent < graph->threads ? extent : graph->threads;
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) if (threads > 1)
#endif
    for (long i = 0; i < threads; i++)
        function(buffers, variables, extent * i / threads, extent * (i + 1) / threads,
                 graph->workspace + i * $workspace);
}

int ${stem}_run($arguments) {
$local$bounds$launches$copies    return 0;
}
