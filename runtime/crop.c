/* The oriented crop in one pass: picture -> bilinear samples -> a model's float32 input.

The arithmetic is that of OpenCV 4's getPerspectiveTransform, invert and warpPerspective for bytes:
coordinates in double, rounded half to even to 1/32 pixel, weights in 32nds, sums rounded by adding
half; every value is the same to the last bit. What is saved: most coordinates need one addition
instead of a division, pixels are fetched ahead of their use, and no picture of bytes is written and
read again. Where AVX2 is missing, OpenCV is as fast, and `available` says no. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if defined(__GNUC__) && defined(__x86_64__)
#define HAS_FAST_CROP 1
#else
#define HAS_FAST_CROP 0
#endif

#if HAS_FAST_CROP
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define WITH_AVX2 __attribute__((target("avx2")))

enum {
    BLOCK = 1024,       /* OpenCV runs along pieces of rows, of 1024 pixels at most */
    CORNERS = 4,
    UNKNOWNS = 8,
    ROWS_AHEAD = 6,     /* of the crop, whose pixels are being fetched */
    LARGEST_SIDE = 32766 /* OpenCV's coordinates are 16-bit integers */
};

static const double PI = 3.14159265358979323846;
static const double ONE = 4294967296.0;   /* in fixed point: 1/32 pixel, with 32 bits behind it */
static const uint32_t UNSURE = 1 << 17;   /* so close to a half, doubles decide where to round */
static const double MOST_BENT = 2e-5;     /* 32nds of a pixel that a line may be off: below UNSURE */
static const double FARTHEST = 1e6;       /* pixels, in fixed point */

typedef struct {
    const uint8_t *pixels;
    ptrdiff_t stride;
    int width, height;
    int zero; /* outside it is black, else its edge */
} Picture;

typedef struct {
    const double *m; /* 3 x 3, from the crop to the picture */
    int block;       /* pixels that OpenCV computes from one start */
    int straight;    /* whether lines stand for its slight perspective, from corners in float32 */
    int step_ahead;  /* crop pixels between two fetches */
    int ahead_x, ahead_y;
} Mapping;

static int8_t row_weights[32][16] __attribute__((aligned(16)));
static int16_t column_weights[32][8] __attribute__((aligned(16)));

static void make_weights(void)
{
    for (int part = 0; part < 32; part++) {
        for (int i = 0; i < 16; i++)
            row_weights[part][i] = (int8_t)(i & 1 ? part : 32 - part);
        for (int i = 0; i < 8; i++)
            column_weights[part][i] = (int16_t)(i & 1 ? part : 32 - part);
    }
}

/* Solves a x = b in place by elimination with the largest pivot; 0 where there is no solution. */
static int solve(double a[UNKNOWNS][UNKNOWNS], double b[UNKNOWNS])
{
    for (int i = 0; i < UNKNOWNS; i++) {
        int pivot = i;
        for (int j = i + 1; j < UNKNOWNS; j++)
            if (fabs(a[j][i]) > fabs(a[pivot][i]))
                pivot = j;
        if (!(fabs(a[pivot][i]) > 1e-12))
            return 0;
        if (pivot != i) {
            for (int k = i; k < UNKNOWNS; k++) {
                double other = a[i][k];
                a[i][k] = a[pivot][k];
                a[pivot][k] = other;
            }
            double other = b[i];
            b[i] = b[pivot];
            b[pivot] = other;
        }
        double inverse = -1 / a[i][i];
        for (int j = i + 1; j < UNKNOWNS; j++) {
            double share = a[j][i] * inverse;
            for (int k = i + 1; k < UNKNOWNS; k++)
                a[j][k] += share * a[i][k];
            b[j] += share * b[i];
        }
    }
    for (int i = UNKNOWNS - 1; i >= 0; i--) {
        double sum = b[i];
        for (int k = i + 1; k < UNKNOWNS; k++)
            sum -= a[i][k] * b[k];
        b[i] = sum / a[i][i];
    }
    return 1;
}

/* What Roi.corners gives: x, y of bottom left, top left, top right, bottom right. */
static void find_corners(float x, float y, float width, float height, float rotation,
                         float corners[2 * CORNERS])
{
    float degrees = (float)((double)rotation * 180);
    degrees = (float)(degrees / PI);
    double angle = degrees * PI / 180;
    float cosine = (float)cos(angle) / 2, sine = (float)sin(angle) / 2;
    float down_x = sine * height, down_y = cosine * height;
    float right_x = cosine * width, right_y = sine * width;
    corners[0] = x - down_x - right_x;
    corners[1] = y + down_y - right_y;
    corners[2] = x + down_x - right_x;
    corners[3] = y - down_y - right_y;
    for (int i = 0; i < CORNERS; i++)
        corners[CORNERS + i] = 2 * (i & 1 ? y : x) - corners[i];
}

/* The 3 x 3 matrix from a crop's pixels to the picture's; 0 where there is none. */
static int picture_from_crop(const float *corners, int width, int height, double m[9])
{
    const float to_x[CORNERS] = {0, 0, (float)width, (float)width};
    const float to_y[CORNERS] = {(float)height, 0, 0, (float)height};
    double a[UNKNOWNS][UNKNOWNS] = {{0}}, s[UNKNOWNS + 1];
    for (int i = 0; i < CORNERS; i++) {
        float x = corners[2 * i], y = corners[2 * i + 1];
        double *along_x = a[i], *along_y = a[i + CORNERS];
        along_x[0] = along_y[3] = x;
        along_x[1] = along_y[4] = y;
        along_x[2] = along_y[5] = 1;
        along_x[6] = -x * to_x[i];
        along_x[7] = -y * to_x[i];
        along_y[6] = -x * to_y[i];
        along_y[7] = -y * to_y[i];
        s[i] = to_x[i];
        s[i + CORNERS] = to_y[i];
    }
    if (!solve(a, s))
        return 0;
    s[8] = 1;
    double d = s[0] * (s[4] * s[8] - s[5] * s[7]) - s[1] * (s[3] * s[8] - s[5] * s[6])
        + s[2] * (s[3] * s[7] - s[4] * s[6]);
    if (d == 0)
        return 0;
    d = 1 / d;
    m[0] = (s[4] * s[8] - s[5] * s[7]) * d;
    m[1] = (s[2] * s[7] - s[1] * s[8]) * d;
    m[2] = (s[1] * s[5] - s[2] * s[4]) * d;
    m[3] = (s[5] * s[6] - s[3] * s[8]) * d;
    m[4] = (s[0] * s[8] - s[2] * s[6]) * d;
    m[5] = (s[2] * s[3] - s[0] * s[5]) * d;
    m[6] = (s[3] * s[7] - s[4] * s[6]) * d;
    m[7] = (s[1] * s[6] - s[0] * s[7]) * d;
    m[8] = (s[0] * s[4] - s[1] * s[3]) * d;
    for (int i = 0; i < 9; i++)
        if (!isfinite(m[i]))
            return 0;
    return 1;
}

static Mapping make_mapping(const double *m, int width, int height)
{
    Mapping mapping = {.m = m, .block = BLOCK / (height < 16 ? height : 16)};
    double far_x = fabs(m[0]) * width + fabs(m[1]) * height + fabs(m[2]);
    double far_y = fabs(m[3]) * width + fabs(m[4]) * height + fabs(m[5]);
    double change = fabs(m[6]) * width + fabs(m[7]) * height;
    double most = fabs(m[8]) + change, least = fabs(m[8]) - change;
    double far = fmax(far_x, far_y), steepest = fmax(fabs(m[0]), fabs(m[3]));
    /* A chord of (a + b i) / (c + d i) is off by n^2 / 8 times 2 |d| |b c - a d| / c^3 at most. */
    double bent = fabs(m[6]) * (steepest * most + far * fabs(m[6])) / (least * least * least);
    bent *= 32.0 * mapping.block * mapping.block / 4;
    mapping.straight = least > 0 && far < FARTHEST * least && bent < MOST_BENT;
    if (mapping.straight) {
        double step = fmin(16 * least / (fabs(m[0]) + 1e-9), least / (fabs(m[3]) + 1e-9));
        mapping.step_ahead = step < 1 ? 1 : step > BLOCK ? BLOCK : (int)step;
        mapping.ahead_x = (int)(m[1] / m[8] * ROWS_AHEAD);
        mapping.ahead_y = (int)(m[4] / m[8] * ROWS_AHEAD);
    }
    return mapping;
}

static int32_t rounded(double value)
{
    return (int32_t)rint(value < INT32_MIN ? INT32_MIN : value > INT32_MAX ? INT32_MAX : value);
}

/* Coordinates along a line, in 32nds of a pixel; 0 where rounding needs more precision. */
WITH_AVX2 static int in_fixed_point(double start, double end, int count, int32_t *to)
{
    int64_t at = (int64_t)(start * ONE) + (int64_t)(ONE / 2);
    int64_t along = (int64_t)((end - start) / count * ONE);
    uint32_t unsure = 0;
    for (int i = 0; i < count; i++, at += along) {
        to[i] = (int32_t)(at >> 32);
        unsure |= (uint32_t)at + UNSURE < 2 * UNSURE;
    }
    return !unsure;
}

static void coordinates(const Mapping *mapping, int start, int row, int count, int32_t *xs,
                        int32_t *ys)
{
    const double *m = mapping->m;
    double x = m[0] * start + m[1] * row + m[2], y = m[3] * start + m[4] * row + m[5];
    double weight = m[6] * start + m[7] * row + m[8];
    if (mapping->straight) {
        double scale = 32 / weight, last = 32 / (weight + m[6] * count);
        if (in_fixed_point(x * scale, (x + m[0] * count) * last, count, xs)
            && in_fixed_point(y * scale, (y + m[3] * count) * last, count, ys))
            return;
    }
    for (int i = 0; i < count; i++) {
        double scale = weight + m[6] * i;
        scale = scale != 0 ? 32 / scale : 0;
        xs[i] = rounded((x + m[0] * i) * scale);
        ys[i] = rounded((y + m[3] * i) * scale);
    }
}

static int clipped(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* Any sample, beyond the picture's edge, too; x, y in 32nds of a pixel. */
static void sample(const Picture *from, int32_t x, int32_t y, float factor, float *to)
{
    int left = clipped(x >> 5, INT16_MIN, INT16_MAX), top = clipped(y >> 5, INT16_MIN, INT16_MAX);
    int part_x = x & 31, part_y = y & 31, sums[3] = {512, 512, 512};
    for (int down = 0; down < 2; down++)
        for (int right = 0; right < 2; right++) {
            int column = left + right, row = top + down;
            int weight = (right ? part_x : 32 - part_x) * (down ? part_y : 32 - part_y);
            int shown_x = clipped(column, 0, from->width - 1);
            int shown_y = clipped(row, 0, from->height - 1);
            if (from->zero && (shown_x != column || shown_y != row))
                continue;
            const uint8_t *pixel = from->pixels + shown_y * from->stride + 3 * shown_x;
            for (int c = 0; c < 3; c++)
                sums[c] += weight * pixel[c];
        }
    for (int c = 0; c < 3; c++)
        to[c] = (float)(sums[c] >> 10) * factor;
}

/* Samples within the picture. Each reads 8 bytes of two rows and writes 4 values, the last of which
   the next one overwrites. */
WITH_AVX2 static void samples(const Picture *from, const int32_t *xs, const int32_t *ys, int count,
                              float factor, float *to)
{
    /* 0 1 2 are a pixel's blends of two rows, 3 4 5 its right neighbour's: to pairs. */
    const __m128i pairs = _mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, 12, 13, 14, 15);
    const __m128i half = _mm_set1_epi32(512);
    const __m128 factors = _mm_set1_ps(factor);
    const uint8_t *pixels = from->pixels;
    const ptrdiff_t stride = from->stride;
    int32_t offsets[BLOCK], parts[BLOCK];
    for (int i = 0; i < count; i++) {
        offsets[i] = (ys[i] >> 5) * (int32_t)stride + 3 * (xs[i] >> 5);
        parts[i] = (ys[i] & 31) << 16 | (xs[i] & 31);
    }
    for (int i = 0; i < count; i++, to += 3) {
        const uint8_t *pixel = pixels + offsets[i];
        __m128i rows = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)pixel),
                                         _mm_loadl_epi64((const __m128i *)(pixel + stride)));
        __m128i blend = _mm_maddubs_epi16(rows, *(const __m128i *)row_weights[parts[i] >> 16]);
        __m128i sums = _mm_madd_epi16(_mm_shuffle_epi8(blend, pairs),
                                      *(const __m128i *)column_weights[parts[i] & 31]);
        __m128i bytes = _mm_srli_epi32(_mm_add_epi32(sums, half), 10);
        _mm_storeu_ps(to, _mm_mul_ps(_mm_cvtepi32_ps(bytes), factors));
    }
}

/* The picture lies in main memory, whose latency is what a crop waits for most. */
static void fetch_ahead(const Picture *from, const Mapping *mapping, const int32_t *xs,
                        const int32_t *ys, int count)
{
    for (int i = 0; i < count; i += mapping->step_ahead) {
        int x = clipped((xs[i] >> 5) + mapping->ahead_x, 0, from->width - 1);
        int y = clipped((ys[i] >> 5) + mapping->ahead_y, 0, from->height - 1);
        __builtin_prefetch(from->pixels + y * from->stride + 3 * x);
    }
}

/* Whether `samples` may read there: two pixels to the right and one below. */
static int is_within(const Picture *from, int32_t x, int32_t y)
{
    return x >= 0 && y >= 0 && x >> 5 < from->width - 2 && y >> 5 < from->height - 1;
}

WITH_AVX2 static int all_within(const Picture *from, const int32_t *xs, const int32_t *ys,
                                int count)
{
    int32_t most_x = 32 * (from->width - 2) - 1, most_y = 32 * (from->height - 1) - 1, outside = 0;
    for (int i = 0; i < count; i++)
        outside |= (xs[i] < 0) | (ys[i] < 0) | (xs[i] > most_x) | (ys[i] > most_y);
    return !outside;
}

static void fill_block(const Picture *from, const int32_t *xs, const int32_t *ys, int count,
                       float factor, float *to)
{
    int first = 0, end = count;
    if (!all_within(from, xs, ys, count)) {
        while (first < end && !is_within(from, xs[first], ys[first]))
            first++;
        while (end > first && !is_within(from, xs[end - 1], ys[end - 1]))
            end--;
        if (!all_within(from, xs + first, ys + first, end - first))
            end = first; /* along the picture's edge, rounded to and fro */
    }
    end -= end > first; /* the last one has no next that overwrites its 4th value */
    samples(from, xs + first, ys + first, end - first, factor, to + 3 * first);
    for (int i = 0; i < first; i++)
        sample(from, xs[i], ys[i], factor, to + 3 * i);
    for (int i = end; i < count; i++)
        sample(from, xs[i], ys[i], factor, to + 3 * i);
}

static void fill(const Picture *from, const double *m, int width, int height, float factor,
                 float *to)
{
    Mapping mapping = make_mapping(m, width, height);
    int32_t xs[BLOCK], ys[BLOCK];
    for (int row = 0; row < height; row++)
        for (int start = 0; start < width; start += mapping.block) {
            int count = width - start < mapping.block ? width - start : mapping.block;
            coordinates(&mapping, start, row, count, xs, ys);
            if (mapping.straight)
                fetch_ahead(from, &mapping, xs, ys, count);
            fill_block(from, xs, ys, count, factor, to + 3 * ((ptrdiff_t)row * width + start));
        }
}

static int is_of(const Py_buffer *buffer, char format)
{
    const char *found = buffer->format ? buffer->format : "B";
    return buffer->ndim == 3 && found[0] == format && found[1] == 0 && buffer->shape[2] == 3
        && buffer->shape[0] > 0 && buffer->shape[0] <= LARGEST_SIDE
        && buffer->shape[1] > 0 && buffer->shape[1] <= LARGEST_SIDE;
}

static int crop(const Py_buffer *image, const float region[5], const Py_buffer *out, int zero,
                float factor)
{
    if (!is_of(image, 'B') || !is_of(out, 'f'))
        return 0;
    Py_ssize_t rows = image->shape[0], columns = image->shape[1], stride = image->strides[0];
    if (image->strides[2] != 1 || image->strides[1] != 3 || stride < 3 * columns
        || rows * stride > INT32_MAX)
        return 0;
    int width = (int)out->shape[1], height = (int)out->shape[0];
    float corners[2 * CORNERS];
    double m[9];
    find_corners(region[0], region[1], region[2], region[3], region[4], corners);
    if (!picture_from_crop(corners, width, height, m))
        return 0;
    Picture picture = {image->buf, stride, (int)columns, (int)rows, zero};
    Py_BEGIN_ALLOW_THREADS
    fill(&picture, m, width, height, factor, out->buf);
    Py_END_ALLOW_THREADS
    return 1;
}
#endif

static PyObject *crop_into(PyObject *module, PyObject *args)
{
#if HAS_FAST_CROP
    PyObject *from, *to;
    Py_buffer image, out;
    float region[5], factor;
    int zero, done = 0;
    if (!PyArg_ParseTuple(args, "O(fffff)Opf", &from, &region[0], &region[1], &region[2],
                          &region[3], &region[4], &to, &zero, &factor))
        return NULL;
    if (PyObject_GetBuffer(from, &image, PyBUF_STRIDES | PyBUF_FORMAT) == 0) {
        int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | PyBUF_WRITABLE;
        if (PyObject_GetBuffer(to, &out, flags) == 0) {
            done = crop(&image, region, &out, zero, factor);
            PyBuffer_Release(&out);
        }
        PyBuffer_Release(&image);
    }
    PyErr_Clear();
    return PyBool_FromLong(done);
#else
    Py_RETURN_FALSE;
#endif
}

static PyObject *available(PyObject *module, PyObject *args)
{
#if HAS_FAST_CROP
    return PyBool_FromLong(__builtin_cpu_supports("avx2"));
#else
    Py_RETURN_FALSE;
#endif
}

static PyMethodDef methods[] = {
    {"crop_into", crop_into, METH_VARARGS,
     "crop_into(image, region, out, zero, factor) -> whether it could.\n\n"
     "image: (H, W, 3) uint8, pixels without gaps; region: cx, cy, width, height, rotation_rad of\n"
     "a Roi; out: (h, w, 3) float32; zero: black outside the image, else its edge; factor: of a\n"
     "byte."},
    {"available", available, METH_NOARGS, "Whether this processor can run `crop_into`."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "runtime._crop", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__crop(void)
{
#if HAS_FAST_CROP
    make_weights();
#endif
    return PyModule_Create(&definition);
}
