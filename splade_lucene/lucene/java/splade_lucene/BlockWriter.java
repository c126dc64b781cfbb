package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.lucene.codecs.CodecUtil;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermState;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.search.DocAndFloatFeatureBuffer;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.IOContext;
import org.apache.lucene.store.IndexOutput;
import org.apache.lucene.util.ArrayUtil;
import org.apache.lucene.util.BytesRef;
import org.apache.lucene.util.IOUtils;

/**
 * Writes the block file of a segment ({@link Blocks} says what stands in it) from its postings.
 *
 * <p>Memory: per thread some 20 bytes a posting of 32,768 documents, 100 bytes a term, 12 a document. The bytes written
 * do not depend on the number of threads.
 */
final class BlockWriter {
  private static final int AT_A_TIME = 4; // groups that one thread reads
  private static final int AT_ONCE = 1 << 20; // postings whose first pass one thread makes, or those of one term
  private static final int COUNTED = 1 << 12; // impacts from here on count as this one when the best are looked for

  private final LeafReader segment;
  private final int documents;
  private final FirstPass firstPass;
  private final List<BytesRef> dictionary = new ArrayList<>(); // in Lucene's order
  private final int[] frequencies; // in this order, too, as all that follows
  private final int[] highest;
  private final int[][] best; // of each of Blocks.BEST, the k-th highest impact
  private final TermState[] states; // with which a term is found again at once
  private int[] byNumber = new int[0]; // the terms as the file numbers them
  private final int[] numbers; // what a term is called there
  private int rows;
  private int planes;
  private int impactBits;
  private int entry;

  /**
   * What a first pass has to search.
   *
   * @param docTerms of each document so many postings, those of highest impact and those equal to them; 0: none
   * @param halfSaturation the impact that counts for half of the most that any can
   */
  record FirstPass(int docTerms, int halfSaturation) {}

  private BlockWriter(LeafReader segment, FirstPass firstPass) throws IOException {
    this.segment = segment;
    this.firstPass = firstPass;
    documents = segment.maxDoc();
    Terms terms = segment.terms(Constants.CONTENTS);
    TermsEnum each = terms == null ? TermsEnum.EMPTY : terms.iterator();
    for (BytesRef term = each.next(); term != null; term = each.next()) {
      dictionary.add(BytesRef.deepCopyOf(term));
    }
    frequencies = new int[dictionary.size()];
    highest = new int[dictionary.size()];
    best = new int[Blocks.BEST.length][dictionary.size()];
    numbers = new int[dictionary.size()];
    states = new TermState[dictionary.size()];
  }

  /** Writes the file under a temporary name and renames it, so that it appears whole or not at all. */
  static void write(
      Directory directory, LeafReader segment, byte[] segmentId, String name, FirstPass firstPass, int threads)
      throws IOException {
    BlockWriter writer = new BlockWriter(segment, firstPass);
    ExecutorService workers = Executors.newFixedThreadPool(threads, ImpactWriter::daemon);
    IndexOutput output = directory.createTempOutput("blocks", "part", IOContext.DEFAULT);
    boolean whole = false;
    try (output) {
      CodecUtil.writeIndexHeader(output, Blocks.CODEC, Blocks.VERSION, segmentId, "");
      writer.survey(workers, threads);
      writer.writeAll(output, workers, threads);
      CodecUtil.writeFooter(output);
      whole = true;
    } finally {
      workers.shutdownNow();
      if (!whole) {
        IOUtils.deleteFilesIgnoringExceptions(directory, output.getName());
      }
    }
    directory.sync(List.of(output.getName()));
    directory.rename(output.getName(), name);
    directory.syncMetaData();
  }

  private interface Part {
    void run(int part) throws IOException;
  }

  private static void each(int parts, ExecutorService workers, Part work) throws IOException {
    List<Future<?>> running = new ArrayList<>();
    for (int i = 0; i < parts; i++) {
      int part = i;
      running.add(
          workers.submit(
              () -> {
                work.run(part);
                return null;
              }));
    }
    for (Future<?> each : running) {
      try {
        each.get();
      } catch (ExecutionException e) {
        throw IOUtils.rethrowAlways(e.getCause());
      } catch (InterruptedException e) {
        throw new IOException(e);
      }
    }
  }

  /** Reads all postings once, for what must be known of the terms before the first block is written. */
  private void survey(ExecutorService workers, int threads) throws IOException {
    int parts = Math.max(1, Math.min(dictionary.size(), threads * 8));
    each(parts, workers, part -> survey(bound(part, parts), bound(part + 1, parts)));
    Integer[] order = new Integer[dictionary.size()];
    Arrays.setAll(order, i -> i);
    // A stable sort: equals stay in byte order. What is too high for planes comes after all that is not.
    Arrays.sort(
        order,
        Comparator.<Integer>comparingInt(term -> Blocks.planes(highest[term]) > 0 ? 0 : 1)
            .thenComparing(term -> -frequencies[term]));
    byNumber = Arrays.stream(order).mapToInt(Integer::intValue).toArray();
    int most = 1;
    for (int number = 0; number < order.length; number++) {
      numbers[order[number]] = number;
      if (rows == number
          && (long) frequencies[order[number]] * Blocks.ROW_SHARE >= documents
          && Blocks.planes(highest[order[number]]) > 0) {
        rows++;
        planes += Blocks.planes(highest[order[number]]);
      }
      most = Math.max(most, highest[order[number]]);
    }
    impactBits = Blocks.bits(most);
    int bits = impactBits + Blocks.bits(Math.max(0, order.length - 1));
    entry = bits <= 24 ? 3 : bits <= Integer.SIZE ? Integer.BYTES : Long.BYTES;
  }

  private int bound(int part, int parts) {
    return (int) ((long) dictionary.size() * part / parts);
  }

  private void survey(int from, int to) throws IOException {
    int[] counts = new int[COUNTED + 1];
    DocAndFloatFeatureBuffer buffer = new DocAndFloatFeatureBuffer();
    PostingsEnum postings = null;
    TermsEnum each = from < to ? segment.terms(Constants.CONTENTS).iterator() : null;
    for (int term = from; term < to; term++) {
      each.seekExact(dictionary.get(term));
      postings = each.postings(postings, PostingsEnum.FREQS);
      frequencies[term] = each.docFreq();
      states[term] = each.termState();
      postings.nextDoc();
      for (postings.nextPostings(documents, buffer); buffer.size > 0; postings.nextPostings(documents, buffer)) {
        for (int i = 0; i < buffer.size; i++) {
          int impact = (int) buffer.features[i];
          highest[term] = Math.max(highest[term], impact);
          counts[Math.min(impact, COUNTED)]++;
        }
      }
      take(counts, term);
    }
  }

  /** The k-th highest impact for each k of BEST, or 0 where there are fewer; clears the counts. */
  private void take(int[] counts, int term) {
    int seen = 0;
    int k = 0;
    for (int impact = Math.min(highest[term], COUNTED); impact > 0; impact--) {
      seen += counts[impact];
      counts[impact] = 0;
      while (k < Blocks.BEST.length && seen >= Blocks.BEST[k]) {
        best[k++][term] = impact;
      }
    }
  }

  private void writeAll(IndexOutput output, ExecutorService workers, int threads) throws IOException {
    int groups = (documents + Blocks.GROUP - 1) >>> Blocks.GROUP_BITS;
    long[] groupStarts = new long[groups];
    long[] starts = new long[documents];
    int[] bars = new int[firstPass.docTerms > 0 ? documents : 0];
    byte[][] maxima = new byte[groups][];
    for (int first = 0; first < groups; first += threads * AT_A_TIME) {
      Group[] made = new Group[Math.min(threads * AT_A_TIME, groups - first)];
      int start = first;
      Arrays.setAll(made, i -> new Group(start + i));
      each(threads, workers, part -> read(made, part * AT_A_TIME, Math.min(made.length, (part + 1) * AT_A_TIME)));
      for (Group group : made) {
        groupStarts[group.number] = output.getFilePointer();
        maxima[group.number] = group.maxima;
        for (byte[] row : group.rows) {
          output.writeBytes(row, row.length);
        }
        for (byte[] plane : group.planes) {
          output.writeBytes(plane, plane.length);
        }
        for (int i = 0; i < group.starts.length; i++) {
          starts[group.start + i] = output.getFilePointer() + group.starts[i];
        }
        output.writeBytes(group.vectors, group.vectors.length);
        if (firstPass.docTerms > 0) {
          System.arraycopy(group.bars, 0, bars, group.start, group.bars.length);
        }
      }
    }
    long firstPassStart = output.getFilePointer();
    long[] firstPassLengths = firstPass.docTerms > 0 ? writeFirstPass(output, bars, workers, threads) : null;
    long vectorStarts = output.getFilePointer();
    for (long each : starts) {
      output.writeLong(each);
    }
    long groupMaxima = output.getFilePointer();
    for (int term = 0; term < numbers.length; term++) {
      for (byte[] group : maxima) {
        output.writeByte(group[term]);
      }
    }
    long facts = output.getFilePointer();
    output.writeVInt(documents);
    output.writeByte((byte) impactBits);
    output.writeByte((byte) entry);
    output.writeVLong(vectorStarts);
    output.writeVLong(groupMaxima);
    for (long each : groupStarts) {
      output.writeVLong(each);
    }
    output.writeVInt(rows);
    output.writeVInt(firstPassLengths != null ? firstPass.halfSaturation : 0);
    if (firstPassLengths != null) {
      output.writeVLong(firstPassStart);
    }
    writeTerms(output, firstPassLengths);
    output.writeLong(facts);
  }

  private void writeTerms(IndexOutput output, long[] firstPassLengths) throws IOException {
    output.writeVInt(byNumber.length);
    for (int number = 0; number < byNumber.length; number++) {
      int term = byNumber[number];
      BytesRef name = dictionary.get(term);
      output.writeVInt(name.length);
      output.writeBytes(name.bytes, name.offset, name.length);
      output.writeVInt(frequencies[term]);
      output.writeVInt(highest[term]);
      for (int[] kth : best) {
        output.writeVInt(kth[term]);
      }
      if (firstPassLengths != null) {
        output.writeVLong(firstPassLengths[number]);
      }
    }
  }

  /** Writes the first-pass postings of all terms, those that reach their document's bar; returns their bytes. */
  private long[] writeFirstPass(IndexOutput output, int[] bars, ExecutorService workers, int threads)
      throws IOException {
    long[] lengths = new long[byNumber.length];
    for (int first = 0, end; first < byNumber.length; first = end) {
      long postings = frequencies[byNumber[first]];
      for (end = first + 1; end < byNumber.length && postings < (long) threads * AT_ONCE; end++) {
        postings += frequencies[byNumber[end]];
      }
      byte[][] lists = new byte[end - first][];
      int start = first;
      each(lists.length, workers, i -> lists[i] = firstPass(byNumber[start + i], bars));
      for (int i = 0; i < lists.length; i++) {
        lengths[first + i] = lists[i].length;
        output.writeBytes(lists[i], lists[i].length);
      }
    }
    return lengths;
  }

  private byte[] firstPass(int term, int[] bars) throws IOException {
    TermsEnum dictionary = segment.terms(Constants.CONTENTS).iterator();
    dictionary.seekExact(this.dictionary.get(term), states[term]);
    PostingsEnum postings = dictionary.postings(null, PostingsEnum.FREQS);
    DocAndFloatFeatureBuffer buffer = new DocAndFloatFeatureBuffer();
    int[] kept = new int[frequencies[term]];
    byte[] impacts = new byte[frequencies[term]];
    int n = 0;
    postings.nextDoc();
    for (postings.nextPostings(documents, buffer); buffer.size > 0; postings.nextPostings(documents, buffer)) {
      for (int i = 0; i < buffer.size; i++) {
        if (buffer.features[i] >= bars[buffer.docs[i]]) {
          impacts[n] = (byte) Blocks.saturated((long) buffer.features[i], firstPass.halfSaturation);
          kept[n++] = buffer.docs[i];
        }
      }
    }
    int[] counts = new int[n > 0 ? documents + Blocks.GROUP - 1 >>> Blocks.GROUP_BITS : 0];
    for (int i = 0; i < n; i++) {
      counts[kept[i] >>> Blocks.GROUP_BITS]++;
    }
    ByteBuffer list = Packed.littleEndian(new byte[counts.length * Short.BYTES + n * Blocks.FIRST_PASS_POSTING]);
    for (int count : counts) {
      list.putShort((short) count);
    }
    int from = 0;
    for (int count : counts) {
      for (int i = from; i < from + count; i++) {
        list.putShort((short) (kept[i] & Blocks.GROUP - 1));
      }
      list.put(impacts, from, count);
      from += count;
    }
    return list.array();
  }

  /** Fills groups that follow one another: for each of them alone, every posting list would have to be found again. */
  private void read(Group[] groups, int from, int to) throws IOException {
    if (from >= to) {
      return;
    }
    int start = groups[from].start;
    int end = groups[to - 1].start + groups[to - 1].starts.length;
    TermsEnum each = byNumber.length == 0 ? TermsEnum.EMPTY : segment.terms(Constants.CONTENTS).iterator();
    PostingsEnum list = null;
    DocAndFloatFeatureBuffer buffer = new DocAndFloatFeatureBuffer();
    for (int term : byNumber) { // so that a vector's entries ascend
      each.seekExact(dictionary.get(term), states[term]);
      list = each.postings(list, PostingsEnum.FREQS);
      list.advance(start);
      for (list.nextPostings(end, buffer); buffer.size > 0; list.nextPostings(end, buffer)) {
        for (int i = 0; i < buffer.size; ) {
          i = groups[from + (buffer.docs[i] - start >> Blocks.GROUP_BITS)].take(term, buffer, i);
        }
      }
    }
    for (int i = from; i < to; i++) {
      groups[i].encode();
    }
  }

  private static byte[] nothing(int length) {
    byte[] row = new byte[length];
    Arrays.fill(row, Blocks.NOTHING);
    return row;
  }

  /** One group's part of all that the file has. */
  private final class Group {
    final int number;
    final int start; // its first document
    final byte[] maxima; // of each term
    final byte[][] rows;
    final byte[][] planes;
    final int[] starts; // of each document's vector in these bytes:
    byte[] vectors = new byte[0];
    final int[] bars; // of each document, the impact that its first-pass postings have at least
    private final int[] firstPlanes; // of each term that has rows
    private int[] owners = new int[0]; // of postings, term by term
    private long[] entries = new long[0];
    private int postings;

    Group(int number) {
      this.number = number;
      start = number << Blocks.GROUP_BITS;
      starts = new int[Math.min(documents - start, Blocks.GROUP)];
      bars = new int[firstPass.docTerms > 0 ? starts.length : 0];
      int size = Blocks.size(number, documents);
      maxima = nothing(dictionary.size());
      rows = new byte[BlockWriter.this.rows][];
      planes = new byte[BlockWriter.this.planes][size];
      firstPlanes = new int[rows.length];
      Arrays.setAll(rows, i -> nothing(size >> Blocks.BLOCK_BITS));
      int plane = 0;
      for (int name = 0; name < rows.length; name++) {
        firstPlanes[name] = plane;
        planes[plane] = nothing(size);
        plane += Blocks.planes(highest[byNumber[name]]);
      }
    }

    /** Takes the postings of this group from one on; returns the first that is not. */
    int take(int term, DocAndFloatFeatureBuffer buffer, int from) {
      owners = ArrayUtil.grow(owners, postings + buffer.size - from);
      entries = ArrayUtil.grow(entries, postings + buffer.size - from);
      int name = numbers[term];
      int shift = Blocks.shift(highest[term]);
      boolean twoPlanes = Blocks.planes(highest[term]) == 2;
      byte most = maxima[name];
      int i = from;
      for (; i < buffer.size && buffer.docs[i] < start + Blocks.GROUP; i++) {
        int document = buffer.docs[i] - start;
        int impact = (int) buffer.features[i];
        byte rounded = Blocks.rounded(impact, shift);
        owners[postings] = document;
        entries[postings++] = (long) name << impactBits | impact;
        most = (byte) Math.max(most, rounded);
        if (name < rows.length) {
          byte[] row = rows[name];
          row[document >> Blocks.BLOCK_BITS] = (byte) Math.max(row[document >> Blocks.BLOCK_BITS], rounded);
          planes[firstPlanes[name]][document] = (byte) ((impact & 0xff) + Blocks.NOTHING);
          if (twoPlanes) {
            planes[firstPlanes[name] + 1][document] = (byte) (impact >> Byte.SIZE);
          }
        }
      }
      maxima[name] = most;
      return i;
    }

    /** Deals the postings out to their documents, and encodes vector by vector: how many entries, then these. */
    void encode() {
      int size = starts.length;
      int[] next = new int[size + 1];
      for (int i = 0; i < postings; i++) {
        next[owners[i] + 1]++;
      }
      for (int document = 0; document < size; document++) {
        next[document + 1] += next[document];
      }
      long[] dealt = new long[postings];
      for (int i = 0; i < postings; i++) {
        dealt[next[owners[i]]++] = entries[i];
      }
      ByteBuffer buffer =
          Packed.littleEndian(new byte[Math.addExact(Math.multiplyExact(postings, entry), size * Integer.BYTES)]);
      int from = 0;
      for (int document = 0; document < size; document++) {
        int to = next[document];
        starts[document] = buffer.position();
        buffer.putInt(to - from);
        if (bars.length > 0 && to - from > firstPass.docTerms) {
          bars[document] = kthHighest(dealt, from, to, firstPass.docTerms);
        }
        for (; from < to; from++) {
          switch (entry) {
            case 3 -> buffer.putShort((short) dealt[from]).put((byte) (dealt[from] >>> Short.SIZE));
            case Integer.BYTES -> buffer.putInt((int) dealt[from]);
            default -> buffer.putLong(dealt[from]);
          }
        }
      }
      vectors = buffer.array();
      owners = new int[0];
      entries = new long[0];
    }

    private int kthHighest(long[] dealt, int from, int to, int k) {
      int[] impacts = new int[to - from];
      for (int i = from; i < to; i++) {
        impacts[i - from] = (int) (dealt[i] & (1L << impactBits) - 1);
      }
      Arrays.sort(impacts);
      return impacts[impacts.length - k];
    }
  }
}
