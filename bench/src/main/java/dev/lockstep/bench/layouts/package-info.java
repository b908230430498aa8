/// One recipe over many layouts, compared bit for bit.
@NullMarked
package dev.lockstep.bench.layouts;

import org.jspecify.annotations.NullMarked;
