/// Whole jobs as their users run them: processes, real sockets, launchers of others, failures.
@NullMarked
package dev.lockstep.system;

import org.jspecify.annotations.NullMarked;
