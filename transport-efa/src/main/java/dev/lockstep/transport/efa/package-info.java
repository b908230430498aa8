/// Links over libfabric's reliable datagram endpoints.
///
/// Note [nothing is ordered]: EFA orders neither operations nor the bytes inside one, and has no
/// event for memory that a peer wrote. So nothing here relies on order. Small messages are frames
/// with a number, put in order by the receiver's window. Large ones are cut into segments that the
/// receiver asks for (a grant), that arrive as writes with immediate data, and that are counted.
///
/// Note [bare frames]: over `shm` a page of payload is one command only if nothing goes with it. So
/// header and envelope of such a frame are checked, not sent: its receiver writes those that it
/// expects before the payload, and compares the checksum. If that differs it asks what its sender
/// meant (`DOUBT`, answered by `MEANT`), and knows then whether it is another message or was
/// damaged.
///
/// Note [who touches what]: one lock guards an endpoint. Whoever holds it may read completions;
/// transfers and the memory of sinks are touched by the thread that drives the links alone. The
/// thread in the background only keeps the wire going: providers with manual progress connect,
/// acknowledge and answer only while somebody reads their completions.
///
/// Note [memory outlives the wire]: a region that was ever named to the wire is quarantined until
/// its registration is closed, and no registration is closed while an operation or a grant of it is
/// out, but for grants of links that were given up and whose senders do not answer: then the wire
/// refuses these, and the region stays quarantined until they answer. Endpoints close before
/// registrations, registrations before memory.
///
/// Note [what is lost]: a provider may tell a sender that a message has gone and lose it. Those
/// over sockets do where a connection ends, as it does at a write that its target refuses, and
/// connect again without a word. So an end of a link that waits and at which nothing comes for a
/// tenth of a second asks the other one: a receiver how much was sent (`ASK`, answered by `SENT`),
/// a sender, by greeting again, how far its frames were taken and what it was granted (`TAKEN`). A
/// sender that has heard nothing yet greets again also if nothing waits there: its greeting may be
/// lost, and a receiver that does not know it cannot ask. If more was sent than is here, and
/// nothing comes while the other end says so again and again, the rest is lost, and the link breaks
/// on both ranks. A sender that has closed its transport (`BYE`) cannot be asked: where a receiver
/// waits for it, and nothing comes from one look to the next, the link breaks. Credits and
/// farewells that are lost are said again that way. A receiver that has gone says so again until it
/// knows that nothing is written any more: what was written and refused never comes. One that
/// refuses a message does the same, and says what does not match (`REFUSE`) instead of that it has
/// gone (`GONE`).
@NullMarked
package dev.lockstep.transport.efa;

import org.jspecify.annotations.NullMarked;
