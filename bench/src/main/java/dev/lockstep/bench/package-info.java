/// Benchmarks of kernels and collectives.
@NullMarked
package dev.lockstep.bench;

import org.jspecify.annotations.NullMarked;
