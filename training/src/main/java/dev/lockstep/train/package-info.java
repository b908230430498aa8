/// Recipes and the trainer that follows them.
@NullMarked
package dev.lockstep.train;

import org.jspecify.annotations.NullMarked;
