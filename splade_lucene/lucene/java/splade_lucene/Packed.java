package splade_lucene;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.apache.lucene.util.BytesRef;

/**
 * Arrays as they cross the border between Python and Java: little-endian bytes, because one byte array costs
 * microseconds to hand over where a thousand objects cost milliseconds.
 *
 * <p>Strings are packed as {@code int32 n, int32[n + 1] offsets, UTF-8 bytes}.
 */
final class Packed {
  private Packed() {}

  static int[] ints(byte[] packed) {
    int[] values = new int[packed.length / Integer.BYTES];
    littleEndian(packed).asIntBuffer().get(values);
    return values;
  }

  static BytesRef[] strings(byte[] packed) {
    ByteBuffer buffer = littleEndian(packed);
    BytesRef[] strings = new BytesRef[buffer.getInt()];
    int start = Integer.BYTES * (strings.length + 2);
    int from = buffer.getInt();
    for (int i = 0; i < strings.length; i++) {
      int to = buffer.getInt();
      strings[i] = new BytesRef(packed, start + from, to - from);
      from = to;
    }
    return strings;
  }

  static byte[] pack(int[] values) {
    byte[] packed = new byte[Integer.BYTES * values.length];
    littleEndian(packed).asIntBuffer().put(values);
    return packed;
  }

  static byte[] pack(long[] values) {
    byte[] packed = new byte[Long.BYTES * values.length];
    littleEndian(packed).asLongBuffer().put(values);
    return packed;
  }

  static byte[] pack(List<BytesRef> strings) {
    int bytes = 0;
    for (BytesRef string : strings) {
      bytes = Math.addExact(bytes, string.length);
    }
    byte[] packed = new byte[Math.addExact(Integer.BYTES * (strings.size() + 2), bytes)];
    ByteBuffer buffer = littleEndian(packed).putInt(strings.size()).putInt(0);
    int end = 0;
    for (BytesRef string : strings) {
      end += string.length;
      buffer.putInt(end);
    }
    for (BytesRef string : strings) {
      buffer.put(string.bytes, string.offset, string.length);
    }
    return packed;
  }

  static ByteBuffer littleEndian(byte[] packed) {
    return ByteBuffer.wrap(packed).order(ByteOrder.LITTLE_ENDIAN);
  }
}
