package dev.lockstep.job;

import dev.lockstep.failure.Particulars;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.ByteToMessageCodec;
import io.netty.handler.codec.CorruptedFrameException;
import io.netty.handler.codec.TooLongFrameException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/// Frames: length of what follows (4 bytes, big-endian), type (1 byte), fields. Strings are length
/// (2 bytes) and UTF-8.
///
/// Before the peer has proved that it knows the token, frames are a few hundred bytes at most;
/// afterwards 64 KiB, and only those that carry a value may be as long as the largest value, a
/// roster as long as its ranks need.
final class MessageCodec extends ByteToMessageCodec<Message> {
  static final int MAGIC = 0x4C4B5354; // "LKST"
  static final int VERSION = 2;

  private static final int MAX_HANDSHAKE_BYTES = 512;
  private static final int MAX_CONTROL_BYTES = 64 << 10;
  private static final int KEY_ROOM_BYTES = 8 << 10;

  // The longest name of a host, a kernel's number, and the rank of a node, with their lengths.
  private static final int MAX_SEAT_BYTES = 255 + 36 + 8;
  private static final int MAX_ROSTER_BYTES = 1 << 30;

  private final Runnable heard;
  private int maxValueBytes;
  private int maxRosterBytes;
  private boolean trusted;
  private boolean broken;

  /// @param heard called whenever bytes arrive, also in the midst of a long frame
  MessageCodec(int maxValueBytes, Runnable heard) {
    super(Message.class);
    this.maxValueBytes = maxValueBytes;
    this.heard = heard;
  }

  @Override
  public void channelRead(ChannelHandlerContext context, Object message) throws Exception {
    heard.run();
    super.channelRead(context, message);
  }

  /// The peer has proved itself: longer frames are accepted from now on.
  void trust() {
    trusted = true;
  }

  void allowValues(int bytes) {
    maxValueBytes = bytes;
  }

  /// A roster of so many ranks may be as long as it is.
  void allowRoster(int ranks) {
    maxRosterBytes = (int) Math.min((long) ranks * MAX_SEAT_BYTES, MAX_ROSTER_BYTES);
  }

  @Override
  protected void decode(ChannelHandlerContext context, ByteBuf in, List<Object> out) {
    if (broken) {
      in.skipBytes(in.readableBytes());
    } else if (in.readableBytes() > Integer.BYTES) {
      broken = true; // Unless the frame is read to its end: after a wrong one nothing is a frame.
      readFrame(in, out);
      broken = false;
    }
  }

  private void readFrame(ByteBuf in, List<Object> out) {
    long length = in.getUnsignedInt(in.readerIndex());
    int type = in.getByte(in.readerIndex() + Integer.BYTES);
    int limit = limit(type);
    if (length < 1 || length > limit) {
      throw new TooLongFrameException(
          "frame has a wrong length: bytes=%d, maxBytes=%d".formatted(length, limit));
    }
    if (in.readableBytes() < Integer.BYTES + length) {
      return;
    }
    in.skipBytes(Integer.BYTES + 1);
    ByteBuf body = in.readSlice((int) length - 1);
    try {
      out.add(read(type, body));
    } catch (IndexOutOfBoundsException e) {
      throw new CorruptedFrameException("frame is cut short: type=" + type, e);
    }
    if (body.isReadable()) {
      throw new CorruptedFrameException(
          "frame is too long for its type: type=%d, extraBytes=%d"
              .formatted(type, body.readableBytes()));
    }
  }

  private int limit(int type) {
    if (!trusted) {
      return MAX_HANDSHAKE_BYTES;
    }
    return switch (type) {
      case Type.PUT, Type.VALUE, Type.WITHDRAWN -> maxValueBytes + KEY_ROOM_BYTES;
      case Type.ROSTER -> Math.max(maxRosterBytes, maxValueBytes + KEY_ROOM_BYTES);
      default -> MAX_CONTROL_BYTES;
    };
  }

  @Override
  protected void encode(ChannelHandlerContext context, Message message, ByteBuf out) {
    frame(message, out);
  }

  /// Returns a message as it goes over the wire, for several connections.
  static ByteBuf frame(Message message) {
    ByteBuf out = Unpooled.directBuffer(); // any other would be copied for each of them
    frame(message, out);
    return out;
  }

  private static void frame(Message message, ByteBuf out) {
    int start = out.writerIndex();
    out.writeInt(0);
    write(message, out);
    out.setInt(start, out.writerIndex() - start - Integer.BYTES);
  }

  private static final class Type {
    static final int HELLO = 1;
    static final int CHALLENGE = 2;
    static final int PROOF = 3;
    static final int ACCEPTED = 4;
    static final int REFUSED = 5;
    static final int JOIN = 6;
    static final int WELCOME = 7;
    static final int ROSTER = 8;
    static final int PUT = 9;
    static final int PEEK = 10;
    static final int GET = 11;
    static final int ADD = 12;
    static final int MEET = 13;
    static final int DELETE = 14;
    static final int WITHDRAW = 15;
    static final int WITHDRAWN = 16;
    static final int VALUE = 17;
    static final int ABSENT = 18;
    static final int SUM = 19;
    static final int DONE = 20;
    static final int DENIED = 21;
    static final int REPORT = 22;
    static final int FAILED = 23;
    static final int BEAT = 24;
    static final int GOODBYE = 25;
    static final int FAREWELL = 26;
    static final int CLOSING = 27;
  }

  private static void write(Message message, ByteBuf out) {
    switch (message) {
      case Message.Hello(int version, Bytes nonce) -> greeting(out, Type.HELLO, version, nonce);
      case Message.Challenge(int version, Bytes nonce) ->
          greeting(out, Type.CHALLENGE, version, nonce);
      case Message.Proof(Bytes mac) -> bytes(out.writeByte(Type.PROOF), mac);
      case Message.Accepted(Bytes mac) -> bytes(out.writeByte(Type.ACCEPTED), mac);
      case Message.Refused(String key, String value, String reason) -> {
        string(out.writeByte(Type.REFUSED), key);
        string(out, value);
        string(out, reason);
      }
      case Message.Join(int rank, int worldSize, String jobName, Message.Seat seat) -> {
        out.writeByte(Type.JOIN).writeInt(rank).writeInt(worldSize);
        string(out, jobName);
        seat(out, seat);
      }
      case Message.Welcome(long job, long livenessNanos, int hostRank, int maxValue) ->
          out.writeByte(Type.WELCOME)
              .writeLong(job)
              .writeLong(livenessNanos)
              .writeInt(hostRank)
              .writeInt(maxValue);
      case Message.Roster(List<Message.Seat> seats) -> {
        out.writeByte(Type.ROSTER).writeInt(seats.size());
        seats.forEach(seat -> seat(out, seat));
      }
      case Message.Put(long id, String key, Bytes value) -> {
        string(out.writeByte(Type.PUT).writeLong(id), key);
        bytes(out, value);
      }
      case Message.Peek(long id, String key) -> string(out.writeByte(Type.PEEK).writeLong(id), key);
      case Message.Get(long id, String key) -> string(out.writeByte(Type.GET).writeLong(id), key);
      case Message.Add(long id, String key, long delta) -> {
        string(out.writeByte(Type.ADD).writeLong(id), key);
        out.writeLong(delta);
      }
      case Message.Meet(long id, String name, int count) -> {
        string(out.writeByte(Type.MEET).writeLong(id), name);
        out.writeInt(count);
      }
      case Message.Delete(long id, String key) ->
          string(out.writeByte(Type.DELETE).writeLong(id), key);
      case Message.Withdraw(long id) -> out.writeByte(Type.WITHDRAW).writeLong(id);
      case Message.Withdrawn(long id, List<Integer> arrived) -> {
        out.writeByte(Type.WITHDRAWN).writeLong(id).writeInt(arrived.size());
        arrived.forEach(out::writeInt);
      }
      case Message.Value(long id, Bytes value) ->
          bytes(out.writeByte(Type.VALUE).writeLong(id), value);
      case Message.Absent(long id) -> out.writeByte(Type.ABSENT).writeLong(id);
      case Message.Sum(long id, long value) ->
          out.writeByte(Type.SUM).writeLong(id).writeLong(value);
      case Message.Done(long id) -> out.writeByte(Type.DONE).writeLong(id);
      case Message.Denied(long id, String reason) ->
          string(out.writeByte(Type.DENIED).writeLong(id), reason);
      case Message.Report(FailureRecord failure) -> failure(out.writeByte(Type.REPORT), failure);
      case Message.Failed(FailureRecord failure) -> failure(out.writeByte(Type.FAILED), failure);
      case Message.Beat(String activity) -> string(out.writeByte(Type.BEAT), activity);
      case Message.Goodbye() -> out.writeByte(Type.GOODBYE);
      case Message.Farewell() -> out.writeByte(Type.FAREWELL);
      case Message.Closing() -> out.writeByte(Type.CLOSING);
    }
  }

  private static Message read(int type, ByteBuf in) {
    return switch (type) {
      case Type.HELLO -> new Message.Hello(version(in), bytes(in));
      case Type.CHALLENGE -> new Message.Challenge(version(in), bytes(in));
      case Type.PROOF -> new Message.Proof(bytes(in));
      case Type.ACCEPTED -> new Message.Accepted(bytes(in));
      case Type.REFUSED -> new Message.Refused(string(in), string(in), string(in));
      case Type.JOIN -> new Message.Join(in.readInt(), in.readInt(), string(in), seat(in));
      case Type.WELCOME ->
          new Message.Welcome(in.readLong(), in.readLong(), in.readInt(), in.readInt());
      case Type.ROSTER -> new Message.Roster(seats(in));
      case Type.PUT -> new Message.Put(in.readLong(), string(in), bytes(in));
      case Type.PEEK -> new Message.Peek(in.readLong(), string(in));
      case Type.GET -> new Message.Get(in.readLong(), string(in));
      case Type.ADD -> new Message.Add(in.readLong(), string(in), in.readLong());
      case Type.MEET -> new Message.Meet(in.readLong(), string(in), in.readInt());
      case Type.DELETE -> new Message.Delete(in.readLong(), string(in));
      case Type.WITHDRAW -> new Message.Withdraw(in.readLong());
      case Type.WITHDRAWN -> new Message.Withdrawn(in.readLong(), ranks(in));
      case Type.VALUE -> new Message.Value(in.readLong(), bytes(in));
      case Type.ABSENT -> new Message.Absent(in.readLong());
      case Type.SUM -> new Message.Sum(in.readLong(), in.readLong());
      case Type.DONE -> new Message.Done(in.readLong());
      case Type.DENIED -> new Message.Denied(in.readLong(), string(in));
      case Type.REPORT -> new Message.Report(failure(in));
      case Type.FAILED -> new Message.Failed(failure(in));
      case Type.BEAT -> new Message.Beat(string(in));
      case Type.GOODBYE -> new Message.Goodbye();
      case Type.FAREWELL -> new Message.Farewell();
      case Type.CLOSING -> new Message.Closing();
      default -> throw new CorruptedFrameException("frame has an unknown type: type=" + type);
    };
  }

  private static void greeting(ByteBuf out, int type, int version, Bytes nonce) {
    bytes(out.writeByte(type).writeInt(MAGIC).writeShort(version), nonce);
  }

  private static int version(ByteBuf in) {
    if (in.readInt() != MAGIC) {
      throw new CorruptedFrameException("peer does not speak the store's protocol");
    }
    return in.readUnsignedShort();
  }

  private static void seat(ByteBuf out, Message.Seat seat) {
    string(out, seat.host());
    string(out, seat.kernel());
    out.writeInt(seat.nodeRank());
  }

  private static Message.Seat seat(ByteBuf in) {
    return new Message.Seat(string(in), string(in), in.readInt());
  }

  private static List<Message.Seat> seats(ByteBuf in) {
    int count = in.readInt();
    List<Message.Seat> seats = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      seats.add(seat(in));
    }
    return List.copyOf(seats);
  }

  private static List<Integer> ranks(ByteBuf in) {
    int count = in.readInt();
    List<Integer> ranks = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      ranks.add(in.readInt());
    }
    return List.copyOf(ranks);
  }

  private static void failure(ByteBuf out, FailureRecord failure) {
    FailureRecord record = FailureRecords.bounded(failure);
    out.writeInt(record.rank());
    string(out, record.host());
    string(out, record.kind());
    string(out, record.message());
    string(out, record.stack());
    string(out, record.activity());
    out.writeLong(record.epochMillis());
    particulars(out, record.particulars());
  }

  private static FailureRecord failure(ByteBuf in) {
    return new FailureRecord(
        in.readInt(),
        string(in),
        string(in),
        string(in),
        string(in),
        string(in),
        in.readLong(),
        particulars(in));
  }

  private static void particulars(ByteBuf out, Particulars particulars) {
    switch (particulars) {
      case Particulars.None _ -> out.writeByte(0);
      case Particulars.MissingRanks(List<Integer> ranks) -> {
        out.writeByte(1).writeInt(ranks.size());
        ranks.forEach(out::writeInt);
      }
      case Particulars.Mismatch(
              int communicator,
              Particulars.Call first,
              Particulars.Call second) -> {
        out.writeByte(2).writeInt(communicator);
        call(out, first);
        call(out, second);
      }
    }
  }

  private static Particulars particulars(ByteBuf in) {
    int kind = in.readByte();
    return switch (kind) {
      case 0 -> new Particulars.None();
      case 1 -> new Particulars.MissingRanks(ranks(in));
      case 2 -> new Particulars.Mismatch(in.readInt(), call(in), call(in));
      default -> throw new CorruptedFrameException("failure has unknown particulars: kind=" + kind);
    };
  }

  private static void call(ByteBuf out, Particulars.Call call) {
    out.writeInt(call.rank()).writeLong(call.sequence()).writeLong(call.fingerprint());
    string(out, call.description());
  }

  private static Particulars.Call call(ByteBuf in) {
    return new Particulars.Call(in.readInt(), in.readLong(), in.readLong(), string(in));
  }

  private static void bytes(ByteBuf out, Bytes bytes) {
    out.writeInt(bytes.length()).writeBytes(bytes.array());
  }

  private static Bytes bytes(ByteBuf in) {
    int length = in.readInt();
    if (length < 0 || length > in.readableBytes()) {
      throw new CorruptedFrameException("frame is cut short: bytes=" + length);
    }
    byte[] array = new byte[length];
    in.readBytes(array);
    return new Bytes(array);
  }

  private static void string(ByteBuf out, String text) {
    byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
    out.writeShort(utf8.length).writeBytes(utf8);
  }

  private static String string(ByteBuf in) {
    int length = in.readUnsignedShort();
    return in.readString(length, StandardCharsets.UTF_8);
  }
}
