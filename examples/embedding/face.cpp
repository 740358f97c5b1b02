// Landmarks in C++ with stock OpenCV (4.6 and up), from the file that
//   hybridkp export face.hkp -o face.onnx --opencv
// writes.  Build: g++ -O2 face.cpp -o face $(pkg-config --cflags --libs opencv4), or with cmake.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <opencv2/opencv.hpp>

// The box's centre stays the crop's centre; the crop shows `margin` times the box's longer side.
static cv::Mat cropMatrix(const cv::Rect2d& box, cv::Size size, double margin) {
    double s = std::min(size.width / box.width, size.height / box.height) / margin;
    if (size.width == size.height) s = size.width / (std::max(box.width, box.height) * margin);
    double x = box.x + box.width / 2, y = box.y + box.height / 2;  // along pixel edges
    return (cv::Mat_<double>(2, 3) << s, 0, size.width / 2.0 - s * x + (s - 1) / 2,
                                      0, s, size.height / 2.0 - s * y + (s - 1) / 2);
}

int main(int argc, char** argv) {  // face.onnx picture.png x y width height side margin
    if (argc != 9) return std::fprintf(stderr, "face NET PICTURE X Y WIDTH HEIGHT SIDE MARGIN\n"), 2;
    cv::dnn::Net net = cv::dnn::readNetFromONNX(argv[1]);
    cv::Mat picture = cv::imread(argv[2]), crop;
    cv::Rect2d box(std::atof(argv[3]), std::atof(argv[4]), std::atof(argv[5]), std::atof(argv[6]));
    cv::Size size(std::atoi(argv[7]), std::atoi(argv[7]));
    cv::Mat map = cropMatrix(box, size, std::atof(argv[8]));
    double s = map.at<double>(0, 0), blur = 0.5 * std::sqrt(std::max(1 / (s * s) - 1, 0.0));
    if (blur > 0.3) cv::GaussianBlur(picture, picture, cv::Size(), blur, blur, cv::BORDER_REPLICATE);
    cv::warpAffine(picture, crop, map, size, cv::INTER_LINEAR, cv::BORDER_REPLICATE);
    net.setInput(cv::dnn::blobFromImage(crop));
    std::vector<cv::Mat> out;
    net.forward(out, net.getUnconnectedOutLayersNames());
    cv::Mat xy = out.size() > 1 && out[1].total() > out[0].total() ? out[1] : out[0];  // 4.x renames outputs: points are the larger
    for (size_t k = 0; k < xy.total() / 2; ++k)
        std::printf("%.4f %.4f\n", (xy.ptr<float>()[2 * k] - map.at<double>(0, 2)) / s,
                    (xy.ptr<float>()[2 * k + 1] - map.at<double>(1, 2)) / s);
}
