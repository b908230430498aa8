package dev.lockstep.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.Particulars;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.DecoderException;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class MessageCodecTest {
  private static final int MAX_VALUE = 1 << 20;

  static Stream<Message> everyMessage() {
    Bytes bytes = new Bytes(new byte[] {1, -2, 3});
    Message.Seat seat = new Message.Seat("höst", "boot-id", 1);
    FailureRecord failure =
        new FailureRecord(3, "h", "K", "m", "s\n\tat x", "all_reduce#3", 1_700_000_000_000L);
    return Stream.of(
        new Message.Hello(1, bytes),
        new Message.Challenge(1, bytes),
        new Message.Proof(bytes),
        new Message.Accepted(bytes),
        new Message.Refused("RANK", "1", "taken"),
        new Message.Join(1, 2, "job", seat),
        new Message.Welcome(77, 2_000_000_000L, -1, 16 << 20),
        new Message.Roster(List.of(seat, new Message.Seat("b", "", -1))),
        new Message.Put(1, "key", bytes),
        new Message.Peek(2, "key"),
        new Message.Get(3, "key"),
        new Message.Add(4, "key", -9),
        new Message.Meet(5, "name", 3),
        new Message.Delete(6, "key"),
        new Message.Withdraw(7),
        new Message.Withdrawn(7, List.of(0, 2)),
        new Message.Value(8, bytes),
        new Message.Absent(9),
        new Message.Sum(10, Long.MIN_VALUE),
        new Message.Done(11),
        new Message.Denied(12, "no"),
        new Message.Report(failure),
        new Message.Report(of(new Particulars.MissingRanks(List.of(2, 0)))),
        new Message.Failed(failure),
        new Message.Failed(
            of(
                new Particulars.Mismatch(
                    7,
                    new Particulars.Call(0, -1, Long.MIN_VALUE, "barrier"),
                    new Particulars.Call(1, 41, 9, "all_reduce, called at Über.java:3")))),
        new Message.Beat("step 3"),
        new Message.Goodbye(),
        new Message.Farewell(),
        new Message.Closing());
  }

  private static FailureRecord of(Particulars particulars) {
    return new FailureRecord(3, "h", "K", "m", "", "", 1, particulars);
  }

  private static EmbeddedChannel trusted() {
    MessageCodec codec = new MessageCodec(MAX_VALUE, () -> {});
    codec.trust();
    return new EmbeddedChannel(codec);
  }

  static byte[] encoded(Message message) {
    EmbeddedChannel channel = trusted();
    channel.writeOutbound(message);
    ByteBuf frame = channel.readOutbound();
    byte[] bytes = new byte[frame.readableBytes()];
    frame.readBytes(bytes).release();
    channel.finishAndReleaseAll();
    return bytes;
  }

  @ParameterizedTest
  @MethodSource("everyMessage")
  void whatIsWrittenIsRead(Message message) {
    EmbeddedChannel channel = trusted();
    for (byte b : encoded(message)) {
      assertThat(channel.inboundMessages()).isEmpty();
      channel.writeInbound(Unpooled.wrappedBuffer(new byte[] {b}));
    }
    assertThat(channel.inboundMessages()).containsExactly(message);
    channel.finishAndReleaseAll();
  }

  @Test
  void everyKindOfMessageIsTried() {
    assertThat(everyMessage().map(Message::getClass).distinct().count())
        .isEqualTo(Message.class.getPermittedSubclasses().length);
  }

  @ParameterizedTest
  @MethodSource("everyMessage")
  void aFrameCutShortIsRefused(Message message) {
    byte[] frame = encoded(message);
    if (frame.length == 5) {
      return; // It has no fields.
    }
    byte[] cut = Arrays.copyOf(frame, frame.length - 1);
    cut[3]--;
    if (cut[3] == -1) {
      cut[2]--;
    }
    EmbeddedChannel channel = trusted();
    assertThatThrownBy(() -> channel.writeInbound(Unpooled.wrappedBuffer(cut)))
        .isInstanceOf(DecoderException.class);
    channel.finishAndReleaseAll();
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4})
  void noiseIsRefusedOrReadAndNeverMore(long seed) {
    Random random = new Random(seed);
    List<Message> messages = everyMessage().toList();
    for (int i = 0; i < 1500; i++) {
      byte[] frame = encoded(messages.get(random.nextInt(messages.size())));
      for (int flips = random.nextInt(1, 4); flips > 0; flips--) {
        frame[random.nextInt(frame.length)] = (byte) random.nextInt();
      }
      EmbeddedChannel channel = trusted();
      try {
        channel.writeInbound(Unpooled.wrappedBuffer(frame));
      } catch (DecoderException _) {
        // The one thing that noise may cause.
      }
      channel.finishAndReleaseAll();
    }
  }

  @Test
  void aRosterIsAsLongAsItsRanksNeed() {
    int ranks = 40_000;
    Message.Seat seat = new Message.Seat("node-0001", "0f4c1c5e-5c3e-4a0b-9a53-6f5e2f6f9a11", 1);
    byte[] frame = encoded(new Message.Roster(Collections.nCopies(ranks, seat)));
    assertThat(frame.length).isGreaterThan(2 * MAX_VALUE);
    assertThatThrownBy(() -> trusted().writeInbound(Unpooled.wrappedBuffer(frame)))
        .isInstanceOf(DecoderException.class);
    EmbeddedChannel rank = trusted();
    rank.pipeline().get(MessageCodec.class).allowRoster(ranks);
    rank.writeInbound(Unpooled.wrappedBuffer(frame));
    Message.Roster read = rank.readInbound();
    assertThat(read.seats()).hasSize(ranks).containsOnly(seat);
  }

  @Test
  void strangersMayOnlySendShortFrames() {
    EmbeddedChannel stranger = new EmbeddedChannel(new MessageCodec(MAX_VALUE, () -> {}));
    byte[] header = {0, 0, 2, 1, 9};
    assertThatThrownBy(() -> stranger.writeInbound(Unpooled.wrappedBuffer(header)))
        .isInstanceOf(DecoderException.class)
        .hasMessageContaining("bytes=513, maxBytes=512");
    stranger.finishAndReleaseAll();
  }

  @Test
  void onlyValuesMayBeLong() {
    byte[] control = {0, 1, 0, 1, 10};
    EmbeddedChannel channel = trusted();
    assertThatThrownBy(() -> channel.writeInbound(Unpooled.wrappedBuffer(control)))
        .isInstanceOf(DecoderException.class)
        .hasMessageContaining("bytes=65537, maxBytes=65536");
    channel.finishAndReleaseAll();
    EmbeddedChannel longer = trusted();
    longer.writeInbound(Unpooled.wrappedBuffer(new byte[] {0, 1, 0, 1, 9}));
    longer.finishAndReleaseAll();
    EmbeddedChannel other = trusted();
    assertThatThrownBy(
            () -> other.writeInbound(Unpooled.wrappedBuffer(new byte[] {0, 0x20, 0, 0, 9})))
        .isInstanceOf(DecoderException.class)
        .hasMessageContaining("maxBytes=" + (MAX_VALUE + 8192));
    other.finishAndReleaseAll();
  }

  @Test
  void aLongFailureIsCutToTravel() {
    String all = "世".repeat(100_000);
    Particulars.Call longCall = new Particulars.Call(0, 1, 2, all);
    FailureRecord failure =
        new FailureRecord(
            0, all, all, all, all, all, 1, new Particulars.Mismatch(0, longCall, longCall));
    byte[] frame = encoded(new Message.Report(failure));
    assertThat(frame.length).isLessThan(64 << 10);
    EmbeddedChannel channel = trusted();
    channel.writeInbound(Unpooled.wrappedBuffer(frame));
    Message.Report read = channel.readInbound();
    assertThat(read.failure().stack()).startsWith("世世世").endsWith("...");
    channel.finishAndReleaseAll();
  }

  @Test
  void onlySoManyMissingRanksTravel() {
    List<Integer> ranks = IntStream.range(0, 100_000).boxed().toList();
    byte[] frame = encoded(new Message.Failed(of(new Particulars.MissingRanks(ranks))));
    assertThat(frame.length).isLessThan(64 << 10);
    EmbeddedChannel channel = trusted();
    channel.writeInbound(Unpooled.wrappedBuffer(frame));
    Message.Failed read = channel.readInbound();
    assertThat(read.failure().particulars())
        .isEqualTo(new Particulars.MissingRanks(ranks.subList(0, 1000)));
    channel.finishAndReleaseAll();
  }
}
