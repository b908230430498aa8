/// The transport between processes of one host, over memory that both map.
@NullMarked
package dev.lockstep.transport.shm;

import org.jspecify.annotations.NullMarked;
