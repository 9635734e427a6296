@main struct PenstockCommand { static func main() {} }
