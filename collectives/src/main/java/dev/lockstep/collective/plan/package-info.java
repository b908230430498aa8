/// Planning: which algorithm runs a collective on given links, what the others would cost, and why.
@NullMarked
package dev.lockstep.collective.plan;

import org.jspecify.annotations.NullMarked;
