package splade_lucene;

import java.io.IOException;
import java.util.List;
import org.apache.lucene.codecs.CodecUtil;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.IOContext;
import org.apache.lucene.store.IndexInput;
import org.apache.lucene.store.IndexOutput;
import org.apache.lucene.util.IOUtils;

/**
 * The ranks within a segment ({@link IdRanks} says what these are) in a file beside the index, so that an open index
 * answers at once: derived from the doc_ids, bound to the segment by its id, checksummed, and dispensable.
 *
 * <p>4 bytes a document, all of which are read, and their checksum compared, when the index is opened.
 */
final class RankFile {
  private static final String CODEC = "SpladeLuceneRanks";
  private static final int VERSION = 0;

  private RankFile() {}

  /** Writes the file under a temporary name and renames it, so that it appears whole or not at all. */
  static void write(Directory directory, LeafReader segment, byte[] segmentId, String name) throws IOException {
    int[] ranks = IdRanks.within(segment);
    IndexOutput output = directory.createTempOutput(BlockFiles.RANKS, "part", IOContext.DEFAULT);
    boolean whole = false;
    try (output) {
      CodecUtil.writeIndexHeader(output, CODEC, VERSION, segmentId, "");
      for (int rank : ranks) {
        output.writeInt(rank);
      }
      CodecUtil.writeFooter(output);
      whole = true;
    } finally {
      if (!whole) {
        IOUtils.deleteFilesIgnoringExceptions(directory, output.getName());
      }
    }
    directory.sync(List.of(output.getName()));
    directory.rename(output.getName(), name);
    directory.syncMetaData();
  }

  /** The ranks; throws what Lucene throws where the file is missing, cut off, damaged or of another segment. */
  static int[] read(Directory directory, LeafReader segment, byte[] segmentId, String name) throws IOException {
    try (IndexInput file = directory.openInput(name, IOContext.READONCE)) {
      CodecUtil.checksumEntireFile(file);
      CodecUtil.checkIndexHeader(file, CODEC, VERSION, VERSION, segmentId, "");
      int[] ranks = new int[segment.maxDoc()];
      file.readInts(ranks, 0, ranks.length); // from the page cache at one go, as a checksum's own reader cannot
      return ranks;
    }
  }
}
