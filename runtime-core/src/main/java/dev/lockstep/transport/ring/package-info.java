/// Links over rings of memory that two ranks of one host share, and signals beside them; what the
/// shared-memory and the in-process transport have in common. Not exported.
@NullMarked
package dev.lockstep.transport.ring;

import org.jspecify.annotations.NullMarked;
