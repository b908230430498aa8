/// Gradients as graphs: reverse-mode differentiation over the operations of a graph.
@NullMarked
package dev.lockstep.train.autodiff;

import org.jspecify.annotations.NullMarked;
