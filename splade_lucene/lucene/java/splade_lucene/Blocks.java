package splade_lucene;

import java.io.Closeable;
import java.io.IOException;
import java.util.Arrays;
import org.apache.lucene.codecs.CodecUtil;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.IOContext;
import org.apache.lucene.store.IndexInput;
import org.apache.lucene.store.RandomAccessInput;
import org.apache.lucene.util.ArrayUtil;
import org.apache.lucene.util.BitUtil;
import org.apache.lucene.util.BytesRef;
import org.apache.lucene.util.BytesRefHash;

/**
 * What a segment's postings say, laid out for vector instructions, in a file beside the index: derived from the
 * postings, bound to the segment by its id, checksummed, and dispensable.
 *
 * <p>Documents come in groups of 8,192, these in blocks of 8. Terms are numbered from the most frequent to the rarest,
 * equals in byte order. Of each term there is the highest impact in each group, rounded up to a byte. Frequent terms,
 * in one of {@link #ROW_SHARE} documents or more, have two more things: a row, the highest impact in each block,
 * rounded up likewise; and planes, the impact in each document, 0 included: its low byte, and where a term has higher
 * impacts its high byte. Of each document there is its vector, terms and impacts in as many bits as the segment needs.
 * Where they were asked for, there are first-pass postings, too, which {@link FirstPassScorer} searches: of each
 * document those of highest impact, term by term: how many there are in each group, then group by group their documents
 * and their impacts, saturated to a byte.
 *
 * <p>Heap: the terms and 36 bytes for each, and 16 bytes a group; all else is read where it lies in the page cache.
 */
final class Blocks implements Closeable {
  static final String CODEC = "SpladeLuceneBlocks";
  static final int VERSION = 2;
  static final int BLOCK_BITS = 3;
  static final int BLOCK = 1 << BLOCK_BITS; // documents
  static final int GROUP_BITS = 13;
  static final int GROUP = 1 << GROUP_BITS; // documents
  static final int CHUNK = 64; // documents: a group's last one is filled up
  static final int ROW_SHARE = 16;
  static final int PLANES_IMPACT = 1 << 15; // what has planes has lower impacts
  static final int[] BEST = {10, 100, 1000}; // k-th highest impacts that are kept of each term
  static final int MOST_SATURATED = 0xff;
  static final int FIRST_PASS_POSTING = Short.BYTES + 1; // bytes
  static final byte NOTHING = Byte.MIN_VALUE; // bytes of rows and low planes are counted from here, Java's being signed

  private final IndexInput file;
  private final RandomAccessInput bytes;
  private final int documents;
  private final int impactBits;
  private final int entry; // bytes of a vector's entry
  private final BytesRefHash terms = new BytesRefHash();
  private final int[] frequencies;
  private final int[] highest;
  private final int[][] best;
  private final int[] planes; // of each term that has rows: which plane is its first
  private final long[] groupStarts;
  private final long groupMaxima;
  private final long vectorStarts; // where it stands where each vector starts
  private final int halfSaturation; // 0: there are no first-pass postings
  private final long[] firstPassStarts; // of each term, and the last one's end

  private Blocks(IndexInput file, byte[] segmentId) throws IOException {
    this.file = file;
    CodecUtil.checkIndexHeader(file, CODEC, VERSION, VERSION, segmentId, "");
    CodecUtil.retrieveChecksum(file);
    bytes = file.randomAccessSlice(0, file.length());
    file.seek(bytes.readLong(file.length() - CodecUtil.footerLength() - Long.BYTES));
    documents = file.readVInt();
    impactBits = file.readByte();
    entry = file.readByte();
    vectorStarts = file.readVLong();
    groupMaxima = file.readVLong();
    groupStarts = new long[groups()];
    for (int i = 0; i < groupStarts.length; i++) {
      groupStarts[i] = file.readVLong();
    }
    planes = new int[file.readVInt() + 1];
    halfSaturation = file.readVInt();
    long firstPass = halfSaturation > 0 ? file.readVLong() : 0;
    int count = file.readVInt();
    firstPassStarts = new long[halfSaturation > 0 ? count + 1 : 0];
    frequencies = new int[count];
    highest = new int[count];
    best = new int[BEST.length][count];
    byte[] term = new byte[256];
    for (int i = 0; i < count; i++) {
      int length = file.readVInt();
      term = ArrayUtil.grow(term, length);
      file.readBytes(term, 0, length);
      terms.add(new BytesRef(term, 0, length));
      frequencies[i] = file.readVInt();
      highest[i] = file.readVInt();
      for (int[] kth : best) {
        kth[i] = file.readVInt();
      }
      if (halfSaturation > 0) {
        firstPassStarts[i] = firstPass;
        firstPass += file.readVLong();
      }
      if (i < rows()) {
        planes[i + 1] = planes[i] + planes(highest[i]);
      }
    }
    if (halfSaturation > 0) {
      firstPassStarts[count] = firstPass;
    }
  }

  /** Opens a block file; throws what Lucene throws where it is missing, cut off or of another segment. */
  static Blocks open(Directory directory, String name, byte[] segmentId) throws IOException {
    IndexInput file = directory.openInput(name, IOContext.DEFAULT);
    try {
      return new Blocks(file, segmentId);
    } catch (Throwable e) {
      file.close();
      throw e;
    }
  }

  @Override
  public void close() throws IOException {
    file.close();
  }

  /** Reads the whole file and compares its checksum. */
  void checkIntegrity() throws IOException {
    CodecUtil.checksumEntireFile(file);
  }

  /** How many bits an impact of a term loses to fit a row's byte. */
  static int shift(int highest) {
    int shift = Math.max(0, bits(highest - 1) - Byte.SIZE);
    return highest - 1 >> shift == 0xff ? shift + 1 : shift; // 0 stands for nothing: 255 values are left
  }

  /** How many bits a number takes. */
  static int bits(int number) {
    return Integer.SIZE - Integer.numberOfLeadingZeros(number);
  }

  /** An impact in a row: rounded up, and counted from -128 on because Java's bytes are signed. */
  static byte rounded(int impact, int shift) {
    return (byte) ((impact - 1 >> shift) + 1 + NOTHING);
  }

  /**
   * An impact f of a first-pass posting: f / (f + h), in 255 steps, rounded up, so that no posting has 0. This is the
   * saturation of Two-Step SPLADE (2404.13357), (k1 + 1) f / (f + k1), but for a constant factor.
   */
  static int saturated(long impact, int halfSaturation) {
    return (int) Math.ceilDiv(MOST_SATURATED * impact, impact + halfSaturation);
  }

  /** How many planes a term has. */
  static int planes(int highest) {
    return highest >= PLANES_IMPACT ? 0 : highest > 0xff ? 2 : 1;
  }

  /** Some groups by their bounds, which are below 2^31, the highest first, of equals the first. */
  static int[] byBound(long[] bounds, int first, int end) {
    long[] order = new long[end - first];
    for (int group = first; group < end; group++) {
      order[group - first] = -bounds[group] << Integer.SIZE | group;
    }
    Arrays.sort(order);
    return Arrays.stream(order).mapToInt(each -> (int) each).toArray();
  }

  int documents() {
    return documents;
  }

  int groups() {
    return (documents + GROUP - 1) >>> GROUP_BITS;
  }

  /** How many documents a group has places for. */
  int size(int group) {
    return size(group, documents);
  }

  static int size(int group, int documents) {
    return Math.min(GROUP, documents - (group << GROUP_BITS) + CHUNK - 1 & -CHUNK);
  }

  int terms() {
    return frequencies.length;
  }

  /** The number of a term, or -1. */
  int find(BytesRef term) {
    return terms.find(term);
  }

  BytesRef term(int number, BytesRef into) {
    return terms.get(number, into);
  }

  int frequency(int term) {
    return frequencies[term];
  }

  int highest(int term) {
    return highest[term];
  }

  /** An impact that at least k documents reach, or 0. */
  int reached(int term, int k) {
    for (int i = 0; i < BEST.length; i++) {
      if (k <= BEST[i]) {
        return best[i][term];
      }
    }
    return 0;
  }

  /** How many terms have rows: those of the lowest numbers. */
  int rows() {
    return planes.length - 1;
  }

  int planesOf(int term) {
    return planes[term + 1] - planes[term];
  }

  /** Reads a term's highest impacts in all groups. */
  void groupMaxima(int term, byte[] into) throws IOException {
    bytes.readBytes(groupMaxima + (long) term * groups(), into, 0, groups());
  }

  /** Reads a term's highest impacts in the blocks of a group; returns how many these are. */
  int row(int term, int group, byte[] into) throws IOException {
    int blocks = size(group) >> BLOCK_BITS;
    bytes.readBytes(groupStarts[group] + (long) term * blocks, into, 0, blocks);
    return blocks;
  }

  /** Reads a part of one of a term's planes: its impacts in some of a group's documents. */
  void plane(int term, int plane, int group, int from, byte[] into, int length) throws IOException {
    long size = size(group);
    long at = groupStarts[group] + rows() * (size >> BLOCK_BITS) + (planes[term] + plane) * size;
    bytes.readBytes(at + from, into, 0, length);
  }

  boolean hasFirstPass() {
    return halfSaturation > 0;
  }

  /** What a first-pass posting of a term can have at most in a group, by the term's highest impact there. */
  int mostSaturated(int term, byte groupMaximum) {
    long highest = (long) (groupMaximum - NOTHING) << shift(this.highest[term]);
    return highest == 0 ? 0 : saturated(highest, halfSaturation);
  }

  /** Reads how many first-pass postings a term has in each group, and finds out where these stand. */
  void firstPass(int term, int[] counts, long[] starts) throws IOException {
    long at = firstPassStarts[term];
    boolean none = at == firstPassStarts[term + 1];
    long start = at + (long) groups() * Short.BYTES;
    for (int group = 0; group < groups(); group++) {
      counts[group] = none ? 0 : bytes.readShort(at + (long) group * Short.BYTES);
      starts[group] = start;
      start += (long) counts[group] * FIRST_PASS_POSTING;
    }
  }

  /** Reads so many first-pass postings of a group: their documents' places, two bytes each, then their impacts. */
  void firstPass(long start, int count, byte[] into) throws IOException {
    bytes.readBytes(start, into, 0, count * FIRST_PASS_POSTING);
  }

  /** Reads documents' vectors, one at a time; its numbers ascend. One reader serves one thread. */
  final class Vectors {
    private byte[] read = new byte[1 << 12];
    private int count;

    /** Loads a document's entries; returns how many there are. */
    int load(int document) throws IOException {
      long start = bytes.readLong(vectorStarts + (long) document * Long.BYTES);
      int count = bytes.readInt(start);
      int length = count * entry;
      if (read.length < length + Long.BYTES) {
        read = new byte[ArrayUtil.oversize(length + Long.BYTES, 1)]; // an entry is read as a part of a long
      }
      bytes.readBytes(start + Integer.BYTES, read, 0, length);
      return this.count = count;
    }

    /** The sum over the loaded entries of weight, by the term's number, times impact. */
    long dot(int[] weights) {
      return dot(read, count * entry, entry, entryMask(), impactBits, weights);
    }

    private static long dot(byte[] read, int end, int entry, long mask, int impactBits, int[] weights) {
      long impactMask = (1L << impactBits) - 1;
      long sum = 0;
      for (int at = 0; at < end; at += entry) {
        long packed = (long) BitUtil.VH_LE_LONG.get(read, at) & mask;
        sum += weights[(int) (packed >>> impactBits)] * (packed & impactMask);
      }
      return sum;
    }

    int term(int i) {
      return (int) (packed(i) >>> impactBits);
    }

    int impact(int i) {
      return (int) (packed(i) & ((1L << impactBits) - 1));
    }

    private long packed(int i) {
      return (long) BitUtil.VH_LE_LONG.get(read, i * entry) & entryMask();
    }

    private long entryMask() {
      return -1L >>> Long.SIZE - Byte.SIZE * entry;
    }
  }
}
