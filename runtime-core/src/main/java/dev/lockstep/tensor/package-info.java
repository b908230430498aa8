/// Element types, shapes and tensors, and exact codecs for the narrow float formats.
@NullMarked
package dev.lockstep.tensor;

import org.jspecify.annotations.NullMarked;
