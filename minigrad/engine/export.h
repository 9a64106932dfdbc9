/* $title: $count kernels, $block bytes of memory beside the weights.
   Rows of a tensor lie one after the other; 16-bit floats are their bits. Build $stem.c with

       cc -O2 -march=native -fwrapv -fno-strict-aliasing -fno-math-errno [-fopenmp] -c $stem.c
*/
#ifndef $guard
#define $guard
#ifdef __cplusplus
extern "C" {
#endif

typedef struct $stem $stem;

/* A graph with memory of its own; 0 if there is none left$reason. */
$stem *${stem}_create($parameter);

/* Runs it, one call at a time. Memory of the arguments must not overlap. Nonzero: a variable is out of bounds. */
int ${stem}_run($parameters);

void ${stem}_free($stem *graph);

#ifdef __cplusplus
}
#endif
#endif
