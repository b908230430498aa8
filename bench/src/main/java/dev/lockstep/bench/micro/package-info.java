/// Micro-benchmarks of kernels and reductions, by JMH.
@NullMarked
package dev.lockstep.bench.micro;

import org.jspecify.annotations.NullMarked;
