/// How plug-ins are found.
@NullMarked
package dev.lockstep.provider;

import org.jspecify.annotations.NullMarked;
