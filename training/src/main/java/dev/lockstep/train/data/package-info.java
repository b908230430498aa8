/// Data sets: text tokenised once into a checksummed cache and read at random.
@NullMarked
package dev.lockstep.train.data;

import org.jspecify.annotations.NullMarked;
