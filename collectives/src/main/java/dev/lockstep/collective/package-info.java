/// Communicators, meshes and the collective operations that ranks run together.
@NullMarked
package dev.lockstep.collective;

import org.jspecify.annotations.NullMarked;
